#include "vcf_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define VCF_TARGET __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define VCF_NAME(name) name##_avx2

VCF_TARGET static inline uint64_t equal(__m256i low, __m256i high, char byte) {
    const __m256i wanted = _mm256_set1_epi8(byte);
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, wanted)) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, wanted)) << 32;
}

// The next 64 bytes; where fewer are left, the others are blanks.
VCF_TARGET static inline void load(const uint8_t *text, size_t left, __m256i *low, __m256i *high) {
    uint8_t rest[64];
    if (left < 64) {
        __builtin_memset(rest, ' ', 64);
        __builtin_memcpy(rest, text, left);
        text = rest;
    }
    *low = _mm256_loadu_si256((const __m256i *)text);
    *high = _mm256_loadu_si256((const __m256i *)(text + 32));
}

VCF_TARGET static inline void masks_avx2(
    const uint8_t *text, size_t left, uint64_t *tabs, uint64_t *feeds, uint64_t *nuls) {
    __m256i low, high;
    load(text, left, &low, &high);
    *tabs = equal(low, high, '\t');
    *feeds = equal(low, high, '\n');
    *nuls = equal(low, high, 0);
}

VCF_TARGET static inline uint64_t end_key_avx2(const uint8_t *text, size_t left) {
    __m256i low, high;
    load(text, left, &low, &high);
    const uint64_t first = equal(low, high, 'E');
    if (!first) return 0;
    return first & equal(low, high, 'N') >> 1 & equal(low, high, 'D') >> 2 & equal(low, high, '=') >> 3;
}

#include "vcf_body.h"

#endif

#include "vcf_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define VCF_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,bmi,bmi2,popcnt")))
#define VCF_NAME(name) name##_avx512

// The next 64 bytes; where fewer are left, the others are blanks.
VCF_TARGET static inline __m512i load(const uint8_t *text, size_t left) {
    const __mmask64 wanted = left < 64 ? (1ull << left) - 1 : ~0ull;
    return _mm512_mask_loadu_epi8(_mm512_set1_epi8(' '), wanted, text);
}

VCF_TARGET static inline void masks_avx512(
    const uint8_t *text, size_t left, uint64_t *tabs, uint64_t *feeds, uint64_t *nuls) {
    const __m512i piece = load(text, left);
    *tabs = _mm512_cmpeq_epi8_mask(piece, _mm512_set1_epi8('\t'));
    *feeds = _mm512_cmpeq_epi8_mask(piece, _mm512_set1_epi8('\n'));
    *nuls = _mm512_testn_epi8_mask(piece, piece);
}

VCF_TARGET static inline uint64_t end_key_avx512(const uint8_t *text, size_t left) {
    const __m512i piece = load(text, left);
    const uint64_t first = _mm512_cmpeq_epi8_mask(piece, _mm512_set1_epi8('E'));
    if (!first) return 0;
    return first & _mm512_cmpeq_epi8_mask(piece, _mm512_set1_epi8('N')) >> 1 &
           _mm512_cmpeq_epi8_mask(piece, _mm512_set1_epi8('D')) >> 2 &
           _mm512_cmpeq_epi8_mask(piece, _mm512_set1_epi8('=')) >> 3;
}

#include "vcf_body.h"

#endif

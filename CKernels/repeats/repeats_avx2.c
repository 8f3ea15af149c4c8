#include "repeats_internal.h"

#if defined(__x86_64__)

#include "../cpu/ck_target.h"

#include <immintrin.h>

CK_AVX2_BEGIN

static inline uint32_t half(const uint8_t *here, size_t period) {
    const __m256i own = _mm256_loadu_si256((const __m256i *)here);
    const __m256i other = _mm256_loadu_si256((const __m256i *)(here - period));
    const __m256i known = _mm256_cmpeq_epi8(_mm256_min_epu8(own, _mm256_set1_epi8(3)), own);
    return (uint32_t)_mm256_movemask_epi8(_mm256_and_si256(_mm256_cmpeq_epi8(own, other), known));
}

static inline uint64_t likeness(const uint8_t *here, size_t period) {
    return half(here, period) | (uint64_t)half(here + 32, period) << 32;
}

#define REPEATS_NAME(name) name##_avx2
#include "repeats_body.h"

CK_AVX2_END

#endif

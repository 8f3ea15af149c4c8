#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define HEALTH_FUNCTION ck_health_windows_avx2
#define HEALTH_TARGET __attribute__((target("avx2,bmi,popcnt")))

#define HEALTH_EQUAL(a, b) (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b))
#define HEALTH_MASKS(x, first, equal_first, equal_previous) \
    do { \
        const __m256i low = _mm256_loadu_si256((const __m256i *)(x)), \
                      high = _mm256_loadu_si256((const __m256i *)((x) + 32)), \
                      before_low = _mm256_loadu_si256((const __m256i *)((x) - 1)), \
                      before_high = _mm256_loadu_si256((const __m256i *)((x) + 31)), \
                      value = _mm256_set1_epi8((char)(first)); \
        equal_first = HEALTH_EQUAL(low, value) | (uint64_t)HEALTH_EQUAL(high, value) << 32; \
        equal_previous = HEALTH_EQUAL(low, before_low) | (uint64_t)HEALTH_EQUAL(high, before_high) << 32; \
    } while (0)

#include "health_body.h"

#endif

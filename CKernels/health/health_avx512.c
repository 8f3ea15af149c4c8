#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define HEALTH_FUNCTION ck_health_windows_avx512
#define HEALTH_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,bmi,popcnt")))

#define HEALTH_MASKS(x, first, equal_first, equal_previous) \
    do { \
        const __m512i samples = _mm512_loadu_si512(x); \
        equal_first = _mm512_cmpeq_epi8_mask(samples, _mm512_set1_epi8((char)(first))); \
        equal_previous = _mm512_cmpeq_epi8_mask(samples, _mm512_loadu_si512((x) - 1)); \
    } while (0)

#include "health_body.h"

#endif

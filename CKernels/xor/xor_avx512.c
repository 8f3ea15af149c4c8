#if defined(__x86_64__)

#include "xor_internal.h"

#include <immintrin.h>

__attribute__((target("avx512f,avx512bw,avx512vl"))) void ck_xor_avx512(
    uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n) {
    size_t i = 0;
    for (; n - i >= 256; i += 256) {
        __m512i x[4];
        for (int j = 0; j < 4; j++) {
            x[j] = _mm512_xor_si512(_mm512_loadu_si512(a + i + 64 * j), _mm512_loadu_si512(b + i + 64 * j));
        }
        for (int j = 0; j < 4; j++) _mm512_storeu_si512(out + i + 64 * j, x[j]);
    }
    for (; n - i >= 64; i += 64) {
        _mm512_storeu_si512(out + i, _mm512_xor_si512(_mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i)));
    }
    if (i < n) {
        const __mmask64 rest = _cvtu64_mask64(~0ULL >> (64 - (n - i)));
        _mm512_mask_storeu_epi8(out + i, rest, _mm512_xor_si512(_mm512_maskz_loadu_epi8(rest, a + i),
                                                                _mm512_maskz_loadu_epi8(rest, b + i)));
    }
}

#endif

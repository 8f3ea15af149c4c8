#if defined(__x86_64__)

#include "xor_internal.h"

#include <immintrin.h>

__attribute__((target("avx2"))) void ck_xor_avx2(
    uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n) {
    size_t i = 0;
    for (; n - i >= 128; i += 128) {
        __m256i x[4];
        for (int j = 0; j < 4; j++) {
            x[j] = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(a + i) + j),
                                    _mm256_loadu_si256((const __m256i *)(b + i) + j));
        }
        for (int j = 0; j < 4; j++) _mm256_storeu_si256((__m256i *)(out + i) + j, x[j]);
    }
    for (; n - i >= 32; i += 32) {
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(a + i)),
                                                                   _mm256_loadu_si256((const __m256i *)(b + i))));
    }
    for (; i < n; i++) out[i] = a[i] ^ b[i];
}

#endif

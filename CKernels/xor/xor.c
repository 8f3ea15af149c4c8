#include "xor.h"

#include "../cpu/ck_cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static void xor_avx2(uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n) {
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

__attribute__((target("avx512f,avx512bw,avx512vl"))) static void xor_avx512(uint8_t *out, const uint8_t *a,
                                                                           const uint8_t *b, size_t n) {
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

static void xor_portable(uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = a[i] ^ b[i];
}

void ck_xor(void *out, const void *a, const void *b, size_t n) {
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_AVX512)) return xor_avx512(out, a, b, n);
    if (ck_cpu_has(CK_CPU_AVX2)) return xor_avx2(out, a, b, n);
#endif
    xor_portable(out, a, b, n);
}

void ck_xor_into(void *dst, const void *src, size_t n) { ck_xor(dst, dst, src, n); }

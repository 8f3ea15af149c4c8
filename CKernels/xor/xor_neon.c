#if defined(__aarch64__)

#include "xor_internal.h"

#include <arm_neon.h>

void ck_xor_neon(uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n) {
    size_t i = 0;
    for (; n - i >= 64; i += 64) {
        uint8x16_t x[4];
        for (int j = 0; j < 4; j++) x[j] = veorq_u8(vld1q_u8(a + i + 16 * j), vld1q_u8(b + i + 16 * j));
        for (int j = 0; j < 4; j++) vst1q_u8(out + i + 16 * j, x[j]);
    }
    for (; n - i >= 16; i += 16) vst1q_u8(out + i, veorq_u8(vld1q_u8(a + i), vld1q_u8(b + i)));
    for (; i < n; i++) out[i] = a[i] ^ b[i];
}

#endif

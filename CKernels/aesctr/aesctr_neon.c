// ARMv8's AES instructions: the processor's own rounds, with no data-dependent timing. Eight blocks are in flight,
// because a round takes several cycles and starts every cycle.
#include "aesctr_internal.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#include "../memory/memory.h"

#define TARGET __attribute__((target("+crypto")))
#define INLINE TARGET __attribute__((always_inline)) static inline
enum { BLOCKS = 8 };

INLINE uint64x2_t load_big(const uint8_t counter[16]) { return vreinterpretq_u64_u8(vrev64q_u8(vld1q_u8(counter))); }

INLINE uint8x16_t big(uint64x2_t position) { return vrev64q_u8(vreinterpretq_u8_u64(position)); }

// The counter is (high, low); adding to the low half carries into the high one.
INLINE uint64x2_t advanced(uint64x2_t position, uint64_t blocks) {
    const uint64_t high = vgetq_lane_u64(position, 0), low = vgetq_lane_u64(position, 1);
    return vsetq_lane_u64(low + blocks, vdupq_n_u64(high + (low + blocks < low)), 1);
}

// Encrypts `blocks` blocks in place. AESE adds the round key before it substitutes, so that round i uses key i - 1.
INLINE void encrypt(const uint8x16_t k[CK_AES256_ROUNDS + 1], uint8x16_t *x, int blocks) {
    for (int round = 0; round < CK_AES256_ROUNDS - 1; round++)
        for (int i = 0; i < blocks; i++) x[i] = vaesmcq_u8(vaeseq_u8(x[i], k[round]));
    for (int i = 0; i < blocks; i++)
        x[i] = veorq_u8(vaeseq_u8(x[i], k[CK_AES256_ROUNDS - 1]), k[CK_AES256_ROUNDS]);
}

// Eight blocks with 0 to 2 operands; `operands` is a constant at each call, so that unused loads vanish.
INLINE void eight_blocks(
    const uint8x16_t k[CK_AES256_ROUNDS + 1], uint64x2_t position, uint8_t *out, const uint8_t *a, const uint8_t *b,
    int operands) {
    uint8x16_t x[BLOCKS];
    // Within the eight the low half may wrap; that is as rare as can be, so that the way round it may be slow.
    if (vgetq_lane_u64(position, 1) <= UINT64_MAX - BLOCKS) {
        const uint64x2_t one = vsetq_lane_u64(1, vdupq_n_u64(0), 1);
        for (int i = 0; i < BLOCKS; i++, position = vaddq_u64(position, one)) x[i] = big(position);
    } else {
        for (int i = 0; i < BLOCKS; i++) x[i] = big(advanced(position, (uint64_t)i));
    }
    encrypt(k, x, BLOCKS);
    for (int i = 0; i < BLOCKS; i++) {
        if (operands > 0) x[i] = veorq_u8(x[i], vld1q_u8(a + 16 * i));
        if (operands > 1) x[i] = veorq_u8(x[i], vld1q_u8(b + 16 * i));
        vst1q_u8(out + 16 * i, x[i]);
    }
}

TARGET void ck_aes256_ctr_neon(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n) {
    if (!a) a = b, b = 0;
    uint8x16_t k[CK_AES256_ROUNDS + 1];
    for (int i = 0; i <= CK_AES256_ROUNDS; i++) k[i] = vld1q_u8(schedule->round_keys[i]);
    // Keys are loaded in every turn: those that the compiler keeps over a call it saves on the stack, where they stay.
    const uint8x16_t *keys = k;
    uint64x2_t position = load_big(counter);
    size_t at = 0;
    for (; n - at >= 16 * BLOCKS; at += 16 * BLOCKS, position = advanced(position, BLOCKS)) {
        __asm__("" : "+r"(keys));
        if (!a) eight_blocks(keys, position, out + at, a, b, 0);
        else if (!b) eight_blocks(keys, position, out + at, a + at, b, 1);
        else eight_blocks(keys, position, out + at, a + at, b + at, 2);
    }
    for (; at < n; at += 16, position = advanced(position, 1)) {
        const size_t rest = n - at < 16 ? n - at : 16;
        uint8x16_t x = big(position);
        uint8_t stream[16];
        __asm__("" : "+r"(keys));
        encrypt(keys, &x, 1);
        vst1q_u8(stream, x);
        for (size_t i = 0; i < rest; i++)
            out[at + i] = (uint8_t)(stream[i] ^ (a ? a[at + i] : 0) ^ (b ? b[at + i] : 0));
        ck_wipe(stream, sizeof stream);
    }
    vst1q_u8(counter, big(position));
    ck_wipe(k, sizeof k);
}
#endif

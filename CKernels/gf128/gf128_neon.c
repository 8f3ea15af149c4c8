#include "gf128_internal.h"

#if defined(__aarch64__)
#include <arm_neon.h>

// The crypto extension has PMULL; dispatch asks for it by itself.
#define PMULL __attribute__((target("+crypto"), always_inline)) static inline

// A 256-bit product that is not yet reduced, by Karatsuba: low + (middle - low - high) x^64 + high x^128.
typedef struct {
    uint64x2_t low, middle, high;
} product;

PMULL uint64x2_t multiply_low(uint64x2_t a, uint64x2_t b) {
    return vreinterpretq_u64_p128(vmull_p64((poly64_t)vgetq_lane_u64(a, 0), (poly64_t)vgetq_lane_u64(b, 0)));
}

PMULL uint64x2_t multiply_high(uint64x2_t a, uint64x2_t b) {
    return vreinterpretq_u64_p128(vmull_high_p64(vreinterpretq_p64_u64(a), vreinterpretq_p64_u64(b)));
}

PMULL uint64x2_t swapped(uint64x2_t x) { return vextq_u64(x, x, 1); }

PMULL uint64x2_t folded(uint64x2_t x) { return veorq_u64(x, swapped(x)); }

PMULL uint64x2_t reversed(const uint8_t *p) {
    return swapped(vreinterpretq_u64_u8(vrev64q_u8(vld1q_u8(p))));
}

PMULL void accumulate(product *sum, uint64x2_t a, uint64x2_t b, uint64x2_t folded_b) {
    sum->low = veorq_u64(sum->low, multiply_low(a, b));
    sum->high = veorq_u64(sum->high, multiply_high(a, b));
    sum->middle = veorq_u64(sum->middle, multiply_low(folded(a), folded_b));
}

// Montgomery reduction: two folds of the low half, each one multiplication by x^63 + x^62 + x^57.
PMULL uint64x2_t reduce(product sum) {
    const uint64x2_t modulus = vdupq_n_u64(0xc200000000000000u), zero = vdupq_n_u64(0);
    const uint64x2_t middle = veorq_u64(sum.middle, veorq_u64(sum.low, sum.high));
    uint64x2_t low = veorq_u64(sum.low, vextq_u64(zero, middle, 1));
    const uint64x2_t high = veorq_u64(sum.high, vextq_u64(middle, zero, 1));
    low = veorq_u64(swapped(low), multiply_low(low, modulus));
    low = veorq_u64(swapped(low), multiply_low(low, modulus));
    return veorq_u64(high, low);
}

__attribute__((target("+crypto"))) void ck_gf128_powers_neon(ck_gf128 *state) {
    const uint64x2_t key = vld1q_u64(state->powers[CK_GF128_POWERS - 1]), folded_key = folded(key);
    uint64x2_t power = key;
    vst1q_u64(state->folded[CK_GF128_POWERS - 1], folded_key);
    for (int i = CK_GF128_POWERS - 2; i >= 0; i--) {
        product sum = {vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};
        accumulate(&sum, power, key, folded_key);
        power = reduce(sum);
        vst1q_u64(state->powers[i], power);
        vst1q_u64(state->folded[i], folded(power));
    }
}

// Up to 16 blocks for one reduction; the running value joins the first.
PMULL uint64x2_t group(const ck_gf128 *state, uint64x2_t running, const uint8_t *message, size_t blocks) {
    const size_t first = CK_GF128_POWERS - blocks;
    product sum = {vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};
    for (size_t i = 1; i < blocks; i++) {
        accumulate(&sum, reversed(message + 16 * i), vld1q_u64(state->powers[first + i]),
                   vld1q_u64(state->folded[first + i]));
    }
    accumulate(&sum, veorq_u64(running, reversed(message)), vld1q_u64(state->powers[first]),
               vld1q_u64(state->folded[first]));
    return reduce(sum);
}

__attribute__((target("+crypto"))) void ck_gf128_blocks_neon(ck_gf128 *state, const uint8_t *message, size_t blocks) {
    enum { GROUP = 16 };
    uint64x2_t running = vld1q_u64(state->sum);
    for (; blocks >= GROUP; blocks -= GROUP, message += 16 * GROUP) {
        // Powers are loaded in every turn, so that the compiler does not keep, and save on the stack, some of them.
        __asm__("" : "+r"(state));
        running = group(state, running, message, GROUP);
    }
    if (blocks > 0) running = group(state, running, message, blocks);
    vst1q_u64(state->sum, running);
}
#endif

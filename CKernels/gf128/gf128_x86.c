#include "gf128_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define PCLMUL __attribute__((target("pclmul,avx"), always_inline)) static inline
#define WIDE "vpclmulqdq,avx512f,avx512bw,avx512vl,avx512dq,pclmul"
#define VPCLMUL __attribute__((target(WIDE), always_inline)) static inline

// Powers are loaded in every turn of a loop: a compiler that keeps them over the turns saves some on the stack, where
// they stay.
#define FROM_MEMORY(powers, folded) __asm__("" : "+r"(powers), "+r"(folded))

// --- 128 bits --------------------------------------------------------------------------------------------------------

// A 256-bit product that is not yet reduced, by Karatsuba: low + (middle - low - high) x^64 + high x^128.
typedef struct {
    __m128i low, middle, high;
} product128;

PCLMUL __m128i reversed128(const uint8_t *p) {
    const __m128i order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)p), order);
}

PCLMUL __m128i folded128(__m128i x) { return _mm_xor_si128(x, _mm_shuffle_epi32(x, 0x4e)); }

PCLMUL void accumulate128(product128 *sum, __m128i a, __m128i b, __m128i folded_b) {
    sum->low = _mm_xor_si128(sum->low, _mm_clmulepi64_si128(a, b, 0x00));
    sum->high = _mm_xor_si128(sum->high, _mm_clmulepi64_si128(a, b, 0x11));
    sum->middle = _mm_xor_si128(sum->middle, _mm_clmulepi64_si128(folded128(a), folded_b, 0x00));
}

// Montgomery reduction: two folds of the low half, each one multiplication by x^63 + x^62 + x^57.
PCLMUL __m128i reduce128(product128 sum) {
    const __m128i modulus = _mm_set1_epi64x((long long)0xc200000000000000u);
    const __m128i middle = _mm_xor_si128(sum.middle, _mm_xor_si128(sum.low, sum.high));
    __m128i low = _mm_xor_si128(sum.low, _mm_slli_si128(middle, 8));
    const __m128i high = _mm_xor_si128(sum.high, _mm_srli_si128(middle, 8));
    low = _mm_xor_si128(_mm_shuffle_epi32(low, 0x4e), _mm_clmulepi64_si128(low, modulus, 0x00));
    low = _mm_xor_si128(_mm_shuffle_epi32(low, 0x4e), _mm_clmulepi64_si128(low, modulus, 0x00));
    return _mm_xor_si128(high, low);
}

__attribute__((target("pclmul,avx"))) void ck_gf128_powers_pclmul(ck_gf128 *state) {
    __m128i *powers = (__m128i *)state->powers, *folded = (__m128i *)state->folded;
    const __m128i key = _mm_loadu_si128(powers + CK_GF128_POWERS - 1), folded_key = folded128(key);
    __m128i power = key;
    _mm_storeu_si128(folded + CK_GF128_POWERS - 1, folded_key);
    for (int i = CK_GF128_POWERS - 2; i >= 0; i--) {
        product128 sum = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
        accumulate128(&sum, power, key, folded_key);
        power = reduce128(sum);
        _mm_storeu_si128(powers + i, power);
        _mm_storeu_si128(folded + i, folded128(power));
    }
}

// Up to 16 blocks for one reduction; the running value joins the first.
PCLMUL __m128i group128(__m128i running, const uint8_t *message, const __m128i *powers, const __m128i *folded,
                        size_t blocks) {
    product128 sum = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    for (size_t i = 1; i < blocks; i++) {
        accumulate128(&sum, reversed128(message + 16 * i), _mm_loadu_si128(powers + i), _mm_loadu_si128(folded + i));
    }
    accumulate128(&sum, _mm_xor_si128(running, reversed128(message)), _mm_loadu_si128(powers), _mm_loadu_si128(folded));
    return reduce128(sum);
}

__attribute__((target("pclmul,avx"))) void ck_gf128_blocks_pclmul(ck_gf128 *state, const uint8_t *message,
                                                                     size_t blocks) {
    enum { GROUP = 16 };
    const __m128i *powers = (const __m128i *)state->powers + CK_GF128_POWERS;
    const __m128i *folded = (const __m128i *)state->folded + CK_GF128_POWERS;
    __m128i running = _mm_loadu_si128((const __m128i *)state->sum);
    for (; blocks >= GROUP; blocks -= GROUP, message += 16 * GROUP) {
        // With AVX an operand in memory needs no alignment, so that loading costs nothing.
        FROM_MEMORY(powers, folded);
        running = group128(running, message, powers - GROUP, folded - GROUP, GROUP);
    }
    if (blocks > 0) running = group128(running, message, powers - blocks, folded - blocks, blocks);
    _mm_storeu_si128((__m128i *)state->sum, running);
}

// --- 512 bits --------------------------------------------------------------------------------------------------------

typedef struct {
    __m512i low, middle, high;
} product512;

VPCLMUL __m512i reversed512(__m512i blocks) {
    const __m512i order = _mm512_broadcast_i32x4(
        _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    return _mm512_shuffle_epi8(blocks, order);
}

VPCLMUL void accumulate512(product512 *sum, __m512i a, __m512i b, __m512i folded_b) {
    const __m512i folded_a = _mm512_xor_si512(a, _mm512_shuffle_epi32(a, 0x4e));
    sum->low = _mm512_xor_si512(sum->low, _mm512_clmulepi64_epi128(a, b, 0x00));
    sum->high = _mm512_xor_si512(sum->high, _mm512_clmulepi64_epi128(a, b, 0x11));
    sum->middle = _mm512_xor_si512(sum->middle, _mm512_clmulepi64_epi128(folded_a, folded_b, 0x00));
}

VPCLMUL __m128i sum_of_lanes(__m512i x) {
    const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

// The lanes together.
VPCLMUL __m128i reduce512(product512 sum) {
    return reduce128((product128){sum_of_lanes(sum.low), sum_of_lanes(sum.middle), sum_of_lanes(sum.high)});
}

// Every lane by itself.
VPCLMUL __m512i reduce_lanes(product512 sum) {
    const __m512i modulus = _mm512_set1_epi64((long long)0xc200000000000000u);
    const __m512i middle = _mm512_ternarylogic_epi64(sum.middle, sum.low, sum.high, 0x96);
    __m512i low = _mm512_xor_si512(sum.low, _mm512_bslli_epi128(middle, 8));
    const __m512i high = _mm512_xor_si512(sum.high, _mm512_bsrli_epi128(middle, 8));
    low = _mm512_xor_si512(_mm512_shuffle_epi32(low, 0x4e), _mm512_clmulepi64_epi128(low, modulus, 0x00));
    low = _mm512_xor_si512(_mm512_shuffle_epi32(low, 0x4e), _mm512_clmulepi64_epi128(low, modulus, 0x00));
    return _mm512_xor_si512(high, low);
}

VPCLMUL product512 zero512(void) {
    return (product512){_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
}

// Four blocks of ciphertext or, under a mask, fewer. With a pad `in` is the data that `out` gets the ciphertext of or, when
// opening, the ciphertext that `out` gets the data of.
VPCLMUL __m512i take512(__mmask8 mask, int opening, uint8_t *out, const uint8_t *in, const uint8_t *pad, size_t at) {
    __m512i blocks = _mm512_maskz_loadu_epi64(mask, in + at);
    if (pad == 0) return blocks;
    const __m512i other = _mm512_xor_si512(blocks, _mm512_maskz_loadu_epi64(mask, pad + at));
    _mm512_mask_storeu_epi64(out + at, mask, other);
    if (!opening) blocks = other;
    return blocks;
}

// Without a pad `out` is not used. Whether there is one is known at each call, so no pass pays for the other.
VPCLMUL void blocks512(ck_gf128 *state, int opening, uint8_t *out, const uint8_t *in, const uint8_t *pad,
                       size_t blocks) {
    const __m128i *powers = (const __m128i *)state->powers, *folded = (const __m128i *)state->folded;
    __m512i carried = _mm512_zextsi128_si512(_mm_loadu_si128((const __m128i *)state->sum));
    // Groups of 32 blocks, eight vectors of four. While another group follows, the four lanes go on by themselves: each
    // multiplies by the power that is four blocks away, which keeps the way from group to group short.
    size_t at = 0;
    for (; blocks >= 64; blocks -= 32, at += 512) {
#if !defined(__clang__)
        // clang has room for all sixteen vectors in the 32 registers, and is a sixth faster for it.
        FROM_MEMORY(powers, folded);
#endif
        product512 sum = zero512();
#if defined(__clang__)
#pragma clang loop unroll(full)
#endif
        for (int turn = 1; turn <= 8; turn++) {
            const int i = turn % 8;  // the first vector comes last, because it waits for the group before
            __m512i data = reversed512(take512(0xff, opening, out, in, pad, at + 64 * (size_t)i));
            if (i == 0) data = _mm512_xor_si512(data, carried);
            accumulate512(&sum, data, _mm512_broadcast_i32x4(_mm_loadu_si128(powers + 4 * i)),
                          _mm512_broadcast_i32x4(_mm_loadu_si128(folded + 4 * i)));
        }
        carried = reduce_lanes(sum);
    }
    // The rest joins the lanes: each block has the power that says how far it is from the end.
    while (blocks > 0) {
        const size_t left = blocks < 32 ? blocks : 32;
        product512 sum = zero512();
        for (size_t i = 0; i < left; i += 4) {
            const size_t lanes = left - i < 4 ? left - i : 4, power = CK_GF128_POWERS - left + i;
            const __mmask8 mask = (__mmask8)((1u << (2 * lanes)) - 1);
            const __m512i data = reversed512(take512(mask, opening, out, in, pad, at + 16 * i));
            accumulate512(&sum, _mm512_xor_si512(data, carried), _mm512_maskz_loadu_epi64(mask, powers + power),
                          _mm512_maskz_loadu_epi64(mask, folded + power));
            carried = _mm512_setzero_si512();
        }
        carried = _mm512_zextsi128_si512(reduce512(sum));
        at += 16 * left;
        blocks -= left;
    }
    _mm_storeu_si128((__m128i *)state->sum, _mm512_castsi512_si128(carried));
}

__attribute__((target(WIDE))) void
ck_gf128_blocks_vpclmul(ck_gf128 *state, const uint8_t *message, size_t blocks) {
    blocks512(state, 0, 0, message, 0, blocks);
}

__attribute__((target(WIDE))) void
ck_gf128_seal_vpclmul(ck_gf128 *state, uint8_t *out, const uint8_t *data, const uint8_t *pad, size_t blocks) {
    blocks512(state, 0, out, data, pad, blocks);
}

#if defined(CK_GF128_OPENS_WIDE)
__attribute__((target(WIDE))) void
ck_gf128_open_vpclmul(ck_gf128 *state, uint8_t *text, const uint8_t *pad, size_t blocks) {
    blocks512(state, 1, text, text, pad, blocks);
}
#endif
#endif

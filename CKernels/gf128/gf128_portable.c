#include "gf128_internal.h"

#include <string.h>

// Carry-less 64 x 64 -> 128 multiplication by integer multiplication. Each operand is cut into five parts that hold
// every fifth bit. In the product of two parts at most 13 ones meet in one position, and 13 < 2^5, so carries never
// reach the next position that counts; masking them off leaves the sum modulo 2. No table, no branch: constant time
// wherever the processor's 64-bit multiplication is.
static void carryless_multiply(uint64_t a, uint64_t b, uint64_t *low, uint64_t *high) {
    static const uint64_t every_fifth[5] = {0x1084210842108421u, 0x2108421084210842u, 0x4210842108421084u,
                                            0x8421084210842108u, 0x0842108421084210u};
    unsigned __int128 product = 0;
    for (int residue = 0; residue < 5; residue++) {
        unsigned __int128 sum = 0;
        for (int i = 0; i < 5; i++) {
            const int j = (residue - i + 5) % 5;
            sum ^= (unsigned __int128)(a & every_fifth[i]) * (b & every_fifth[j]);
        }
        // Bits residue, residue + 5, ... of a 128-bit word: bit 64 is 4 modulo 5, so the high half starts one place on.
        const unsigned __int128 mask =
            (unsigned __int128)every_fifth[(residue + 1) % 5] << 64 | every_fifth[residue];
        product ^= sum & mask;
    }
    *low = (uint64_t)product;
    *high = (uint64_t)(product >> 64);
}

// Adds the multiple of the modulus that clears `word`, 64 places up: the next word and the one after it take the rest.
static void fold(uint64_t word, uint64_t *next, uint64_t *after) {
    *next ^= word << 63 ^ word << 62 ^ word << 57;
    *after ^= word ^ word >> 1 ^ word >> 2 ^ word >> 7;
}

void ck_gf128_multiply_portable(uint64_t out[2], const uint64_t a[2], const uint64_t b[2]) {
    uint64_t l0, l1, h0, h1, m0, m1;
    carryless_multiply(a[0], b[0], &l0, &l1);
    carryless_multiply(a[1], b[1], &h0, &h1);
    carryless_multiply(a[0] ^ a[1], b[0] ^ b[1], &m0, &m1);
    uint64_t p1 = l1 ^ m0 ^ l0 ^ h0, p2 = h0 ^ m1 ^ l1 ^ h1, p3 = h1;
    fold(l0, &p1, &p2);
    fold(p1, &p2, &p3);
    out[0] = p2;
    out[1] = p3;
}

static uint64_t reversed(const uint8_t *p) {
    uint64_t value;
    memcpy(&value, p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

void ck_gf128_blocks_portable(ck_gf128 *state, const uint8_t *message, size_t blocks) {
    for (; blocks > 0; blocks--, message += 16) {
        state->sum[0] ^= reversed(message + 8);
        state->sum[1] ^= reversed(message);
        ck_gf128_multiply_portable(state->sum, state->sum, state->powers[CK_GF128_POWERS - 1]);
    }
}

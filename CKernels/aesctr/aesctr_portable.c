// The reference: bit-sliced over 128 blocks. Plane (byte, bit) holds that bit of that state byte of all blocks, so
// every step is plain logic on whole vectors: no table, no branch, nothing whose time could depend on key or data.
// Vectors are the compiler's own, so each target uses the registers that it always has (SSE2, NEON, or pairs of words).
#include "aesctr.h"

#include "../memory/memory.h"

#include <string.h>

typedef uint64_t plane __attribute__((vector_size(16)));
enum { BLOCKS = 128 };

// The S-box: the circuit of Boyar and Peralta, "A new combinational logic minimization technique with applications to
// cryptology" (2010), 32 ANDs and 83 XORs. x[0] holds the lowest bits.
static inline void substitute(plane x[8]) {
    const plane u0 = x[7], u1 = x[6], u2 = x[5], u3 = x[4], u4 = x[3], u5 = x[2], u6 = x[1], u7 = x[0];
    // The top linear layer.
    const plane y14 = u3 ^ u5, y13 = u0 ^ u6, y9 = u0 ^ u3, y8 = u0 ^ u5, t0 = u1 ^ u2;
    const plane y1 = t0 ^ u7, y4 = y1 ^ u3, y12 = y13 ^ y14, y2 = y1 ^ u0, y5 = y1 ^ u6, y3 = y5 ^ y8;
    const plane t1 = u4 ^ y12, y15 = t1 ^ u5, y20 = t1 ^ u1, y6 = y15 ^ u7, y10 = y15 ^ t0, y11 = y20 ^ y9;
    const plane y7 = u7 ^ y11, y17 = y10 ^ y11, y19 = y10 ^ y8, y16 = t0 ^ y11, y21 = y13 ^ y16, y18 = u0 ^ y16;
    // Inversion in GF(2^8) by way of GF(2^4) and GF(2^2).
    const plane t2 = y12 & y15, t3 = y3 & y6, t4 = t3 ^ t2, t5 = y4 & u7, t6 = t5 ^ t2, t7 = y13 & y16;
    const plane t8 = y5 & y1, t9 = t8 ^ t7, t10 = y2 & y7, t11 = t10 ^ t7, t12 = y9 & y11, t13 = y14 & y17;
    const plane t14 = t13 ^ t12, t15 = y8 & y10, t16 = t15 ^ t12, t17 = t4 ^ t14, t18 = t6 ^ t16, t19 = t9 ^ t14;
    const plane t20 = t11 ^ t16, t21 = t17 ^ y20, t22 = t18 ^ y19, t23 = t19 ^ y21, t24 = t20 ^ y18;
    const plane t25 = t21 ^ t22, t26 = t21 & t23, t27 = t24 ^ t26, t28 = t25 & t27, t29 = t28 ^ t22;
    const plane t30 = t23 ^ t24, t31 = t22 ^ t26, t32 = t31 & t30, t33 = t32 ^ t24, t34 = t23 ^ t33;
    const plane t35 = t27 ^ t33, t36 = t24 & t35, t37 = t36 ^ t34, t38 = t27 ^ t36, t39 = t29 & t38;
    const plane t40 = t25 ^ t39, t41 = t40 ^ t37, t42 = t29 ^ t33, t43 = t29 ^ t40, t44 = t33 ^ t37, t45 = t42 ^ t41;
    const plane z0 = t44 & y15, z1 = t37 & y6, z2 = t33 & u7, z3 = t43 & y16, z4 = t40 & y1, z5 = t29 & y7;
    const plane z6 = t42 & y11, z7 = t45 & y17, z8 = t41 & y10, z9 = t44 & y12, z10 = t37 & y3, z11 = t33 & y4;
    const plane z12 = t43 & y13, z13 = t40 & y5, z14 = t29 & y2, z15 = t42 & y9, z16 = t45 & y14, z17 = t41 & y8;
    // The bottom linear layer, with FIPS 197's affine map.
    const plane t46 = z15 ^ z16, t47 = z10 ^ z11, t48 = z5 ^ z13, t49 = z9 ^ z10, t50 = z2 ^ z12, t51 = z2 ^ z5;
    const plane t52 = z7 ^ z8, t53 = z0 ^ z3, t54 = z6 ^ z7, t55 = z16 ^ z17, t56 = z12 ^ t48, t57 = t50 ^ t53;
    const plane t58 = z4 ^ t46, t59 = z3 ^ t54, t60 = t46 ^ t57, t61 = z14 ^ t57, t62 = t52 ^ t58, t63 = t49 ^ t58;
    const plane t64 = z4 ^ t59, t65 = t61 ^ t62, t66 = z1 ^ t63, t67 = t64 ^ t65, s3 = t53 ^ t66;
    x[7] = t59 ^ t63;
    x[6] = ~(t64 ^ s3);
    x[5] = ~(t55 ^ t67);
    x[4] = s3;
    x[3] = t51 ^ t66;
    x[2] = t47 ^ t65;
    x[1] = ~(t56 ^ t62);
    x[0] = ~(t48 ^ t60);
}

void ck_aes256_init(ck_aes256 *schedule, const uint8_t key[32]) {
    uint8_t *w = &schedule->round_keys[0][0];
    memcpy(w, key, 32);
    uint8_t constant = 1;
    for (int i = 8; i < 4 * (CK_AES256_ROUNDS + 1); i++) {
        uint8_t t[4];
        memcpy(t, w + 4 * (i - 1), 4);
        if (i % 4 == 0) {
            plane x[8] = {0};
            for (int byte = 0; byte < 4; byte++)
                for (int bit = 0; bit < 8; bit++) x[bit][0] |= (uint64_t)(t[byte] >> bit & 1) << byte;
            substitute(x);
            for (int byte = 0; byte < 4; byte++) {
                t[byte] = 0;
                for (int bit = 0; bit < 8; bit++) t[byte] |= (uint8_t)((x[bit][0] >> byte & 1) << bit);
            }
            if (i % 8 == 0) {
                uint8_t first = t[0];
                t[0] = t[1] ^ constant, t[1] = t[2], t[2] = t[3], t[3] = first;
                constant = (uint8_t)(constant << 1);
            }
            ck_wipe(x, sizeof x);
        }
        for (int byte = 0; byte < 4; byte++) w[4 * i + byte] = w[4 * (i - 8) + byte] ^ t[byte];
        ck_wipe(t, sizeof t);
    }
}

// The round keys' bits, each spread over a word.
typedef uint64_t spread_keys[CK_AES256_ROUNDS + 1][16][8];

static void spread(spread_keys keys, const ck_aes256 *schedule) {
    for (int round = 0; round <= CK_AES256_ROUNDS; round++)
        for (int byte = 0; byte < 16; byte++)
            for (int bit = 0; bit < 8; bit++)
                keys[round][byte][bit] = 0 - (uint64_t)(schedule->round_keys[round][byte] >> bit & 1);
}

static inline plane both(uint64_t word) { return (plane){word, word}; }

// The counters counter + 0 ... counter + 127, plus the first round key: an addition with a ripple of carries, plane by
// plane, wrapping round at 2^128.
static void counters(plane s[16][8], const uint8_t counter[16], uint64_t key[16][8]) {
    static const plane block_number[7] = {
        {0xaaaaaaaaaaaaaaaa, 0xaaaaaaaaaaaaaaaa}, {0xcccccccccccccccc, 0xcccccccccccccccc},
        {0xf0f0f0f0f0f0f0f0, 0xf0f0f0f0f0f0f0f0}, {0xff00ff00ff00ff00, 0xff00ff00ff00ff00},
        {0xffff0000ffff0000, 0xffff0000ffff0000}, {0xffffffff00000000, 0xffffffff00000000}, {0, ~(uint64_t)0}};
    plane carry = {0};
    for (int i = 0; i < 128; i++) {
        const int byte = 15 - i / 8, bit = i % 8;
        const plane c = both(0 - (uint64_t)(counter[byte] >> bit & 1));
        const plane number = i < 7 ? block_number[i] : both(0);
        s[byte][bit] = c ^ number ^ carry ^ both(key[byte][bit]);
        carry = (c & number) | (carry & (c ^ number));
    }
}

// One column of ShiftRows and MixColumns with the round key: out = 2 (x + x') + x' + x'' + x''', where x is a row's
// byte and the others are the next rows'.
static void mix_column(plane out[16][8], plane s[16][8], uint64_t key[16][8], int column) {
    const plane *x[4];
    plane sums[4][8];
    for (int row = 0; row < 4; row++) x[row] = s[4 * ((column + row) & 3) + row];
    for (int row = 0; row < 4; row++)
        for (int bit = 0; bit < 8; bit++) sums[row][bit] = x[row][bit] ^ x[(row + 1) & 3][bit];
    for (int row = 0; row < 4; row++) {
        plane *to = out[4 * column + row];
        const plane *next = x[(row + 1) & 3], *rest = sums[(row + 2) & 3], *t = sums[row];
        // Doubling modulo x^8 + x^4 + x^3 + x + 1.
        const plane twice[8] = {t[7], t[0] ^ t[7], t[1], t[2] ^ t[7], t[3] ^ t[7], t[4], t[5], t[6]};
        for (int bit = 0; bit < 8; bit++)
            to[bit] = twice[bit] ^ next[bit] ^ rest[bit] ^ both(key[4 * column + row][bit]);
    }
}

// Transposes the 64 x 64 bit matrices in the lower and in the upper words: bit j of word i becomes bit i of word j.
static void transpose(plane m[64]) {
    uint64_t mask = 0x00000000ffffffff;
    for (int width = 32; width; width >>= 1, mask ^= mask << width)
        for (int i = 0; i < 64; i = ((i | width) + 1) & ~width) {
            const plane t = ((m[i] >> width) ^ m[i | width]) & both(mask);
            m[i] ^= t << width;
            m[i | width] ^= t;
        }
}

static void store_little(uint8_t *p, uint64_t value) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    memcpy(p, &value, 8);
}

// The key stream of the 128 counters from `counter` on.
static void batch(spread_keys keys, const uint8_t counter[16], uint8_t out[16 * BLOCKS]) {
    plane states[2][16][8];
    int of = 0;
    counters(states[0], counter, keys[0]);
    for (int round = 1; round < CK_AES256_ROUNDS; round++, of ^= 1) {
        for (int byte = 0; byte < 16; byte++) substitute(states[of][byte]);
        for (int column = 0; column < 4; column++) mix_column(states[of ^ 1], states[of], keys[round], column);
    }
    for (int byte = 0; byte < 16; byte++) {
        const int from = (byte + 4 * (byte & 3)) & 15;
        plane x[8];
        memcpy(x, states[of][from], sizeof x);
        substitute(x);
        for (int bit = 0; bit < 8; bit++) states[of ^ 1][byte][bit] = x[bit] ^ both(keys[CK_AES256_ROUNDS][byte][bit]);
    }
    for (int half = 0; half < 2; half++) {
        plane *m = (plane *)states[of ^ 1] + 64 * half;
        transpose(m);
        for (int block = 0; block < BLOCKS; block++)
            store_little(out + 16 * block + 8 * half, m[block % 64][block / 64]);
    }
    ck_wipe(states, sizeof states);
}

static void advance(uint8_t counter[16], size_t blocks) {
    for (int i = 15; i >= 0; i--) {
        const unsigned sum = counter[i] + (unsigned)(blocks & 255);
        counter[i] = (uint8_t)sum;
        blocks = (blocks >> 8) + (sum >> 8);
    }
}

void ck_aes256_ctr_portable(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n) {
    spread_keys keys;
    uint8_t stream[16 * BLOCKS];
    if (n > 0) spread(keys, schedule);
    while (n > 0) {
        const size_t take = n < sizeof stream ? n : sizeof stream;
        batch(keys, counter, stream);
        advance(counter, (take + 15) / 16);
        if (a)
            for (size_t i = 0; i < take; i++) stream[i] ^= a[i];
        if (b)
            for (size_t i = 0; i < take; i++) stream[i] ^= b[i];
        memcpy(out, stream, take);
        out += take, n -= take;
        if (a) a += take;
        if (b) b += take;
    }
    ck_wipe(keys, sizeof keys);
    ck_wipe(stream, sizeof stream);
}

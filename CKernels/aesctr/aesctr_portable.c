// The reference: bit-sliced over 64 blocks. Plane (byte, bit) holds that bit of that state byte of all blocks, so every
// step is plain logic on whole words: no table, no branch, nothing whose time could depend on key or data.
#include "aesctr.h"

#include <string.h>

#include "../memory/memory.h"

typedef uint64_t plane;
#define BLOCKS 64

// out = x * y in GF(2^8), modulus x^8 + x^4 + x^3 + x + 1 (FIPS 197 section 4.2).
static void multiply(plane out[8], const plane x[8], const plane y[8]) {
    plane t[15] = {0};
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) t[i + j] ^= x[i] & y[j];
    for (int i = 14; i >= 8; i--) {
        t[i - 4] ^= t[i];
        t[i - 5] ^= t[i];
        t[i - 7] ^= t[i];
        t[i - 8] ^= t[i];
    }
    memcpy(out, t, 8 * sizeof(plane));
}

// out = x^2: squaring only moves bits before the reduction.
static void square(plane out[8], const plane x[8]) {
    plane t[15] = {0};
    for (int i = 0; i < 8; i++) t[2 * i] = x[i];
    for (int i = 14; i >= 8; i--) {
        t[i - 4] ^= t[i];
        t[i - 5] ^= t[i];
        t[i - 7] ^= t[i];
        t[i - 8] ^= t[i];
    }
    memcpy(out, t, 8 * sizeof(plane));
}

// The S-box: the inverse x^254 (which maps 0 to 0), then FIPS 197's affine map.
static void substitute(plane x[8]) {
    plane x2[8], x3[8], x12[8], x15[8], t[8];
    square(x2, x);
    multiply(x3, x2, x);
    square(t, x3);
    square(x12, t);
    multiply(x15, x12, x3);
    for (int i = 0; i < 4; i++) square(x15, x15);  // x^240
    multiply(t, x15, x12);                         // x^252
    multiply(t, t, x2);                            // x^254
    for (int i = 0; i < 8; i++)
        x[i] = t[i] ^ t[(i + 4) & 7] ^ t[(i + 5) & 7] ^ t[(i + 6) & 7] ^ t[(i + 7) & 7] ^
               ((0x63 >> i & 1) ? ~(plane)0 : 0);
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
                for (int bit = 0; bit < 8; bit++) x[bit] |= (plane)(t[byte] >> bit & 1) << byte;
            substitute(x);
            for (int byte = 0; byte < 4; byte++) {
                t[byte] = 0;
                for (int bit = 0; bit < 8; bit++) t[byte] |= (uint8_t)((x[bit] >> byte & 1) << bit);
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

static void add_round_key(plane s[16][8], const uint8_t key[16]) {
    for (int byte = 0; byte < 16; byte++)
        for (int bit = 0; bit < 8; bit++) s[byte][bit] ^= (plane)0 - (plane)(key[byte] >> bit & 1);
}

static void shift_rows(plane s[16][8]) {
    plane t[16][8];
    memcpy(t, s, sizeof t);
    for (int column = 0; column < 4; column++)
        for (int row = 0; row < 4; row++) memcpy(s[4 * column + row], t[4 * ((column + row) & 3) + row], sizeof t[0]);
}

// out = 2 * x.
static void twice(plane out[8], const plane x[8]) {
    out[0] = x[7];
    out[1] = x[0] ^ x[7];
    out[2] = x[1];
    out[3] = x[2] ^ x[7];
    out[4] = x[3] ^ x[7];
    out[5] = x[4];
    out[6] = x[5];
    out[7] = x[6];
}

static void mix_columns(plane s[16][8]) {
    for (int column = 0; column < 4; column++) {
        plane(*c)[8] = &s[4 * column];
        plane in[4][8], doubled[4][8];
        memcpy(in, c, sizeof in);
        for (int row = 0; row < 4; row++) twice(doubled[row], in[row]);
        for (int row = 0; row < 4; row++)
            for (int bit = 0; bit < 8; bit++)
                c[row][bit] = doubled[row][bit] ^ doubled[(row + 1) & 3][bit] ^ in[(row + 1) & 3][bit] ^
                              in[(row + 2) & 3][bit] ^ in[(row + 3) & 3][bit];
    }
}

// Transposes a 64 x 64 bit matrix: bit j of word i becomes bit i of word j.
static void transpose(uint64_t m[64]) {
    uint64_t mask = 0x00000000FFFFFFFFull;
    for (int width = 32; width; width >>= 1, mask ^= mask << width)
        for (int i = 0; i < 64; i = ((i | width) + 1) & ~width) {
            uint64_t t = ((m[i] >> width) ^ m[i | width]) & mask;
            m[i] ^= t << width;
            m[i | width] ^= t;
        }
}

static void increment(uint8_t counter[16]) {
    unsigned carry = 1;
    for (int i = 15; i >= 0; i--) {
        carry += counter[i];
        counter[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

// The key stream of the next 64 counters, 1,024 bytes.
static void next_blocks(const ck_aes256 *schedule, uint8_t counter[16], uint8_t out[16 * BLOCKS]) {
    for (int block = 0; block < BLOCKS; block++) {
        memcpy(out + 16 * block, counter, 16);
        increment(counter);
    }
    union {
        plane s[16][8];
        uint64_t halves[2][64];
    } u;
    for (int half = 0; half < 2; half++) {
        for (int block = 0; block < BLOCKS; block++) {
            uint64_t word = 0;
            for (int byte = 0; byte < 8; byte++) word |= (uint64_t)out[16 * block + 8 * half + byte] << (8 * byte);
            u.halves[half][block] = word;
        }
        transpose(u.halves[half]);
    }
    add_round_key(u.s, schedule->round_keys[0]);
    for (int round = 1; round <= CK_AES256_ROUNDS; round++) {
        for (int byte = 0; byte < 16; byte++) substitute(u.s[byte]);
        shift_rows(u.s);
        if (round < CK_AES256_ROUNDS) mix_columns(u.s);
        add_round_key(u.s, schedule->round_keys[round]);
    }
    for (int half = 0; half < 2; half++) {
        transpose(u.halves[half]);
        for (int block = 0; block < BLOCKS; block++)
            for (int byte = 0; byte < 8; byte++)
                out[16 * block + 8 * half + byte] = (uint8_t)(u.halves[half][block] >> (8 * byte));
    }
    ck_wipe(&u, sizeof u);
}

void ck_aes256_ctr_portable(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n) {
    uint8_t stream[16 * BLOCKS];
    while (n > 0) {
        uint8_t start[16];
        memcpy(start, counter, 16);
        next_blocks(schedule, counter, stream);
        size_t take = n < sizeof stream ? n : sizeof stream;
        for (size_t i = 0; i < take; i++)
            out[i] = (uint8_t)(stream[i] ^ (a ? a[i] : 0) ^ (b ? b[i] : 0));
        if (take < sizeof stream) {
            memcpy(counter, start, 16);
            for (size_t used = 0; used < take; used += 16) increment(counter);
        }
        out += take, n -= take;
        if (a) a += take;
        if (b) b += take;
    }
    ck_wipe(stream, sizeof stream);
}

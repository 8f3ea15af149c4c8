// AES-256-CTR against a textbook AES and the standards' examples.
#include "proof.h"

#include "aesctr/aesctr_internal.h"

static const struct {
    const char *name;
    uint32_t features;
    ck_aes256_ctr_fn run;
} variants[] = {
    {"portable", 0, ck_aes256_ctr_portable},
#if defined(__x86_64__)
    {"aesni", CK_CPU_AES, ck_aes256_ctr_aesni},
    {"vaes", CK_CPU_AES | CK_CPU_VAES | CK_CPU_AVX512, ck_aes256_ctr_vaes},
    {"vaes256", CK_CPU_AES | CK_CPU_VAES, ck_aes256_ctr_vaes256},
#elif defined(__aarch64__)
    {"neon", CK_CPU_AES, ck_aes256_ctr_neon},
#endif
};

// --- FIPS 197, word for word -----------------------------------------------------------------------------------------

static uint8_t s_box[256], doubled[256], tripled[256];

static uint8_t times(uint8_t a, uint8_t b) {
    uint8_t product = 0;
    for (; b != 0; b >>= 1) {
        if (b & 1) product ^= a;
        a = (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1b : 0));
    }
    return product;
}

static void make_tables(void) {
    for (int x = 0; x < 256; x++) {
        doubled[x] = times((uint8_t)x, 2);
        tripled[x] = times((uint8_t)x, 3);
        uint8_t inverse = 0;
        for (int y = 1; y < 256; y++) {
            if (times((uint8_t)x, (uint8_t)y) == 1) inverse = (uint8_t)y;
        }
        uint8_t value = 0x63;
        for (int turn = 0; turn < 5; turn++) value ^= (uint8_t)(inverse << turn | inverse >> (8 - turn));
        s_box[x] = value;
    }
}

static void expand_key(uint8_t w[60][4], const uint8_t key[32]) {
    memcpy(w, key, 32);
    uint8_t constant = 1;
    for (int i = 8; i < 60; i++) {
        uint8_t t[4];
        for (int j = 0; j < 4; j++) t[j] = i % 8 == 0 ? w[i - 1][(j + 1) % 4] : w[i - 1][j];
        if (i % 4 == 0) {
            for (int j = 0; j < 4; j++) t[j] = s_box[t[j]];
        }
        if (i % 8 == 0) {
            t[0] ^= constant;
            constant = times(constant, 2);
        }
        for (int j = 0; j < 4; j++) w[i][j] = w[i - 8][j] ^ t[j];
    }
}

static void encrypt(uint8_t s[16], uint8_t w[60][4]) {
    for (int i = 0; i < 16; i++) s[i] ^= w[i / 4][i % 4];
    for (int round = 1; round <= 14; round++) {
        uint8_t t[16];
        for (int i = 0; i < 16; i++) t[i] = s_box[s[(i + 4 * (i % 4)) % 16]];
        for (int i = 0; i < 16; i++) {
            const uint8_t *column = t + i / 4 * 4;
            const uint8_t mixed = doubled[column[i % 4]] ^ tripled[column[(i + 1) % 4]] ^ column[(i + 2) % 4] ^
                                  column[(i + 3) % 4];
            s[i] = (round < 14 ? mixed : t[i]) ^ w[4 * round + i / 4][i % 4];
        }
    }
}

static void add_to(uint8_t counter[16], size_t blocks) {
    for (; blocks > 0; blocks--) {
        for (int i = 15; i >= 0 && ++counter[i] == 0; i--) {
        }
    }
}

static void key_stream(uint8_t *out, const uint8_t key[32], const uint8_t counter[16], size_t n) {
    uint8_t w[60][4], next[16];
    expand_key(w, key);
    memcpy(next, counter, 16);
    for (size_t at = 0; at < n; at += 16) {
        uint8_t block[16];
        memcpy(block, next, 16);
        encrypt(block, w);
        memcpy(out + at, block, n - at < 16 ? n - at : 16);
        add_to(next, 1);
    }
}

// --- Proofs ----------------------------------------------------------------------------------------------------------

enum { LONGEST = 80 << 10 };

static void known_answers(const char *name, ck_aes256_ctr_fn run) {
    uint8_t key[32], counter[16], in[64], out[64];
    ck_aes256 schedule;
    under_test(name, 16);
    // FIPS 197, C.3: the block 00112233...ff under the key 00..1f, as a counter block.
    for (int i = 0; i < 32; i++) key[i] = (uint8_t)i;
    for (int i = 0; i < 16; i++) counter[i] = (uint8_t)(17 * i);
    ck_aes256_init(&schedule, key);
    run(&schedule, counter, out, NULL, NULL, 16);
    check(equals_hex(out, "8ea2b7ca516745bfeafc49904b496089"), "FIPS 197, C.3");
    // SP 800-38A, F.5.5 and F.5.6.
    unhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", key);
    unhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", counter);
    unhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
          "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
          in);
    ck_aes256_init(&schedule, key);
    run(&schedule, counter, out, in, NULL, 64);
    check(equals_hex(out, "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
                          "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"),
          "SP 800-38A, F.5.5");
    check(equals_hex(counter, "f0f1f2f3f4f5f6f7f8f9fafbfcfdff03"), "SP 800-38A, counter");
    unhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", counter);
    run(&schedule, counter, out, out, NULL, 64);
    check(memcmp(in, out, 64) == 0, "SP 800-38A, F.5.6");
    // FIPS 197, A.3: the last words of the key schedule.
    check(equals_hex(schedule.round_keys[14], "fe4890d1e6188d0b046df344706c631e"), "FIPS 197, A.3");
}

// A random counter that `blocks` blocks separate from the carry out of its last `bits` bits; none for 0 bits.
static void near_carry(uint8_t counter[16], int bits, size_t blocks) {
    random_fill(counter, 16);
    unsigned __int128 left = -(unsigned __int128)blocks;
    for (int i = 15; i >= 16 - bits / 8; i--, left >>= 8) counter[i] = (uint8_t)left;
}

static void at(size_t n, const uint8_t counter[16]) {
    enum { OUT, A, B, COUNTER, KEY };
    static uint8_t stream[LONGEST], x[LONGEST], y[LONGEST], expected[3][LONGEST];
    uint8_t after[16];
    uint8_t *key = place(KEY, 32, any_alignment());
    random_fill(key, 32);
    const int aligned = any_alignment();
    uint8_t *a = place(A, n, any_alignment()), *b = place(B, n, any_alignment());
    random_fill(x, n);
    random_fill(y, n);
    memcpy(a, x, n);
    memcpy(b, y, n);
    memcpy(after, counter, 16);
    add_to(after, (n + 15) / 16);
    key_stream(stream, key, counter, n);
    for (size_t i = 0; i < n; i++) {
        expected[0][i] = stream[i];
        expected[1][i] = stream[i] ^ x[i];
        expected[2][i] = stream[i] ^ x[i] ^ y[i];
    }
    digest(stream, n);
    ck_aes256 schedule;
    ck_aes256_init(&schedule, key);
    for (size_t v = 0; v < COUNT(variants); v++) {
        if (!available(variants[v].name, variants[v].features)) continue;
        under_test(variants[v].name, n);
        for (int operands = 0; operands < 3; operands++) {
            uint8_t *out = place(OUT, n, aligned), *next = place(COUNTER, 16, aligned);
            memcpy(next, counter, 16);
            variants[v].run(&schedule, next, out, operands > 0 ? a : NULL, operands > 1 ? b : NULL, n);
            check(memcmp(out, expected[operands], n) == 0 && untouched(OUT), "apart");
            check(memcmp(next, after, 16) == 0 && untouched(COUNTER), "counter");
            if (operands == 0) continue;
            memcpy(out, x, n);
            memcpy(next, counter, 16);
            variants[v].run(&schedule, next, out, out, operands > 1 ? b : NULL, n);
            check(memcmp(out, expected[operands], n) == 0 && untouched(OUT), "in place");
        }
        uint8_t *out = place(OUT, n, aligned);
        memcpy(out, y, n);
        uint8_t next[16];
        memcpy(next, counter, 16);
        variants[v].run(&schedule, next, out, a, out, n);
        check(memcmp(out, expected[2], n) == 0 && untouched(OUT), "in place of the second operand");
        check(memcmp(a, x, n) == 0 && memcmp(b, y, n) == 0, "operands unchanged");
    }
    under_test("dispatch", n);
    uint8_t *out = place(OUT, n, aligned), next[16];
    memcpy(next, counter, 16);
    ck_aes256_ctr_expand(&schedule, next, out, n);
    check(memcmp(out, expected[0], n) == 0 && untouched(OUT), "expand");
    memcpy(next, counter, 16);
    ck_aes256_ctr_xor(&schedule, next, out, a, n);
    check(memcmp(out, expected[1], n) == 0 && untouched(OUT), "xor");
    memcpy(next, counter, 16);
    // Two calls, the first of whole blocks, are one.
    const size_t head = n / 2 / 16 * 16;
    ck_aes256_ctr_xor2(&schedule, next, out, a, b, head);
    ck_aes256_ctr_xor2(&schedule, next, out + head, a + head, b + head, n - head);
    check(memcmp(out, expected[2], n) == 0 && untouched(OUT) && memcmp(next, after, 16) == 0, "xor2 in two calls");
}

// Up to 255 blocks before a carry.
static void near_any_carry(size_t n, int bits) {
    uint8_t counter[16];
    near_carry(counter, bits, random_below(256));
    at(n, counter);
}

// Requests that share rounds among blocks, at every place that a carry may have in them.
static void long_requests(void) {
    enum { SHORTEST = 16 << 10 };
    static const int carries[] = {0, 8, 16, 32, 40, 64, 128};
    static const size_t around[] = {0, 1, 2, 7, 8, 31, 32, 33, 255, 256, 257};
    uint8_t counter[16];
    for (size_t i = 0; i < COUNT(carries); i++) {
        // The carry behind the first blocks, in the middle, at the last block, and behind that.
        for (size_t k = 0; k < COUNT(around); k++) {
            near_carry(counter, carries[i], around[k]);
            at(SHORTEST + random_below(8192), counter);
        }
        for (int k = 0; k < 6; k++) {
            const size_t n = SHORTEST + random_below(LONGEST - SHORTEST);
            near_carry(counter, carries[i], random_below(n / 16));
            at(n, counter);
            near_carry(counter, carries[i], (n + 15) / 16 - (size_t)k % 3);
            at(n, counter);
        }
        near_carry(counter, carries[i], 1024 + random_below(4096));
        at(LONGEST, counter);
    }
    // The border of sharing, and every place of the counter in a group of blocks.
    for (size_t n = SHORTEST - 17; n <= SHORTEST + 17; n++) near_any_carry(n, 8);
    for (size_t blocks = 0; blocks < 256; blocks += 1 + blocks % 3) {
        near_carry(counter, 40, blocks);
        at(SHORTEST + 16 * random_below(300) + random_below(16), counter);
    }
}

void prove_aesctr(void) {
    make_tables();
    for (size_t v = 0; v < COUNT(variants); v++) {
        if (available(variants[v].name, variants[v].features)) known_answers(variants[v].name, variants[v].run);
    }
    for (size_t n = 0; n <= 1300; n++) near_any_carry(n, n % 9 == 0 ? 128 : n % 3 == 0 ? 64 : 0);
    for (int i = 0; i < 150; i++) near_any_carry(random_below(4097), i % 9 == 0 ? 128 : i % 3 == 0 ? 64 : 0);
    long_requests();
    uint8_t key[32];
    for (int i = 0; i < 2000; i++) {
        uint8_t w[60][4];
        ck_aes256 schedule;
        random_fill(key, 32);
        expand_key(w, key);
        ck_aes256_init(&schedule, key);
        under_test("key schedule", 32);
        check(memcmp(w, schedule.round_keys, 240) == 0, "equals FIPS 197");
    }
}

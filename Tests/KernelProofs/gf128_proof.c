// The polynomial hash against GHASH bit by bit, as SP 800-38D defines it, and against the GCM specification's examples.
#include "proof.h"

#include "gf128/gf128_internal.h"

typedef void blocks_function(ck_gf128 *state, const uint8_t *message, size_t blocks);

static const struct {
    const char *name;
    uint32_t features;
    void (*powers)(ck_gf128 *state);
    blocks_function *blocks;
} variants[] = {
    {"portable", 0, NULL, ck_gf128_blocks_portable},
#if defined(__x86_64__)
    {"pclmul", CK_CPU_PCLMULQDQ, ck_gf128_powers_pclmul, ck_gf128_blocks_pclmul},
    {"vpclmul", CK_CPU_PCLMULQDQ | CK_CPU_VPCLMULQDQ | CK_CPU_AVX512, ck_gf128_powers_pclmul,
     ck_gf128_blocks_vpclmul},
#elif defined(__aarch64__)
    {"neon", CK_CPU_PMULL, ck_gf128_powers_neon, ck_gf128_blocks_neon},
#endif
};

// SP 800-38D, algorithm 1: x = x * y; bit 0 is the most significant bit of byte 0.
static void multiply(uint8_t x[16], const uint8_t y[16]) {
    uint8_t z[16] = {0}, v[16];
    memcpy(v, y, 16);
    for (int bit = 0; bit < 128; bit++) {
        if (x[bit / 8] >> (7 - bit % 8) & 1) {
            for (int i = 0; i < 16; i++) z[i] ^= v[i];
        }
        const int last = v[15] & 1;
        for (int i = 15; i > 0; i--) v[i] = (uint8_t)(v[i] >> 1 | v[i - 1] << 7);
        v[0] >>= 1;
        if (last) v[0] ^= 0xe1;
    }
    memcpy(x, z, 16);
}

// GHASH of the message with no additional data, length block included.
static void ghash(uint8_t out[16], const uint8_t key[16], const uint8_t *message, size_t n) {
    memset(out, 0, 16);
    for (size_t at = 0; at < n; at += 16) {
        for (size_t i = 0; i < 16 && at + i < n; i++) out[i] ^= message[at + i];
        multiply(out, key);
    }
    for (int i = 0; i < 8; i++) out[8 + i] ^= (uint8_t)((uint64_t)n * 8 >> (56 - 8 * i));
    multiply(out, key);
}

static void hash(uint8_t out[16], const uint8_t *key, const uint8_t *message, size_t n) {
    ck_gf128 state;
    ck_gf128_init(&state, key);
    ck_gf128_update(&state, message, n);
    ck_gf128_finish(&state, out);
}

// The GCM specification (McGrew, Viega), appendix B, test cases 2, 3, 14 and 15: no additional data, so that the GHASH
// is this hash of the ciphertext.
static void known_answers(void) {
    static const char *const vectors[][3] = {
        {"66e94bd4ef8a2c3b884cfa59ca342b2e", "0388dace60b6a392f328c2b971b2fe78", "f38cbb1ad69223dcc3457ae5b6b0f885"},
        {"b83b533708bf535d0aa6e52980d53b78",
         "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
         "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
         "7f1b32b81b820d02614f8895ac1d4eac"},
        {"dc95c078a2408989ad48a21492842087", "cea7403d4d606b6e074ec5d3baf39d18", "83de425c5edc5d498f382c441041ca92"},
        {"acbef20579b4b8ebce889bac8732dad7",
         "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
         "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
         "4db870d37cb75fcb46097c36230d1612"},
    };
    for (size_t i = 0; i < COUNT(vectors); i++) {
        uint8_t key[16], message[64], out[16];
        unhex(vectors[i][0], key);
        const size_t n = unhex(vectors[i][1], message);
        under_test("definition", n);
        ghash(out, key, message, n);
        check(equals_hex(out, vectors[i][2]), "known answer");
        under_test("dispatch", n);
        hash(out, key, message, n);
        check(equals_hex(out, vectors[i][2]), "known answer");
    }
}

// Ciphertext and hash in one pass, apart and in place, in two pieces; and back.
static void seal_and_open(const uint8_t key[16], const uint8_t *message, const uint8_t expected[16], size_t n) {
    enum { MESSAGE, DATA, PAD, OUT };
    static uint8_t plain[4096];
    uint8_t *data = place(DATA, n, any_alignment()), *pad = place(PAD, n, any_alignment());
    uint8_t *out = place(OUT, n, any_alignment()), hash[16];
    const size_t first = random_below(n + 1);
    random_fill(pad, n);
    for (size_t i = 0; i < n; i++) plain[i] = data[i] = message[i] ^ pad[i];
    ck_gf128 state;
    ck_gf128_init(&state, key);
    ck_gf128_seal(&state, out, data, pad, n);
    ck_gf128_finish(&state, hash);
    check(memcmp(out, message, n) == 0 && untouched(OUT) && memcmp(data, plain, n) == 0, "sealed");
    check(memcmp(hash, expected, 16) == 0, "hash of what was sealed");
    ck_gf128_seal(&state, data, data, pad, first);
    ck_gf128_seal(&state, data + first, data + first, pad + first, n - first);
    ck_gf128_finish(&state, hash);
    check(memcmp(data, message, n) == 0 && untouched(DATA) && memcmp(hash, expected, 16) == 0, "sealed in place");
    ck_gf128_open(&state, out, pad, n);
    ck_gf128_finish(&state, hash);
    check(memcmp(out, plain, n) == 0 && untouched(OUT) && memcmp(hash, expected, 16) == 0, "opened");
    ck_gf128_open(&state, data, pad, first);
    ck_gf128_open(&state, data + first, pad + first, n - first);
    ck_gf128_finish(&state, hash);
    check(memcmp(data, plain, n) == 0 && untouched(DATA) && untouched(PAD) && memcmp(hash, expected, 16) == 0,
          "opened in two pieces");
}

static void at(size_t n, int alignment) {
    enum { MESSAGE };
    uint8_t key[16], expected[16], out[16];
    random_fill(key, 16);
    if (n % 7 == 0) key[0] |= 0x80;
    uint8_t *message = place(MESSAGE, n, alignment);
    random_fill(message, n);
    ghash(expected, key, message, n);
    digest(expected, 16);
    ck_gf128 first;
    ck_gf128_init(&first, key);
    for (size_t v = 0; v < COUNT(variants); v++) {
        if (!available(variants[v].name, variants[v].features)) continue;
        under_test(variants[v].name, n);
        ck_gf128 state = first;
        // The powers are made anew from k^1, whatever variant the dispatch has prepared.
        memset(state.powers, 0, sizeof state.powers - 16);
        memset(state.folded, 0, sizeof state.folded);
        if (variants[v].powers != NULL) variants[v].powers(&state);
        variants[v].blocks(&state, message, n / 16);
        uint8_t last[32] = {0};
        memcpy(last, message + n / 16 * 16, n % 16);
        for (int i = 0; i < 8; i++) last[24 + i] = (uint8_t)((uint64_t)n * 8 >> (56 - 8 * i));
        variants[v].blocks(&state, n % 16 != 0 ? last : last + 16, n % 16 != 0 ? 2 : 1);
        for (int i = 0; i < 16; i++) out[i] = (uint8_t)(state.sum[1 - i / 8] >> (56 - 8 * (i % 8)));
        check(memcmp(out, expected, 16) == 0, "equals the definition");
    }
    under_test("dispatch", n);
    ck_gf128_update(&first, message, n);
    ck_gf128_finish(&first, out);
    check(memcmp(out, expected, 16) == 0, "equals the definition");
    for (size_t done = 0; done < n;) {
        const size_t piece = 1 + random_below(n - done < 700 ? n - done : 700);
        ck_gf128_update(&first, message + done, piece);
        done += piece;
    }
    ck_gf128_finish(&first, out);
    check(memcmp(out, expected, 16) == 0, "in pieces, with the state of the message before");
    seal_and_open(key, message, expected, n);
}

// The field: commutative, associative, distributive, with the POLYVAL form's one.
static void field(void) {
    static const uint64_t one[2] = {1, 0xc200000000000000u};
    under_test("portable", 16);
    for (int i = 0; i < 500; i++) {
        uint64_t a[2], b[2], c[2], x[2], y[2], z[2];
        random_fill(a, 16);
        random_fill(b, 16);
        random_fill(c, 16);
        if (i == 0) memset(a, 0xff, 16), memset(b, 0xff, 16);
        ck_gf128_multiply_portable(x, a, b);
        ck_gf128_multiply_portable(y, b, a);
        check(memcmp(x, y, 16) == 0, "ab = ba");
        ck_gf128_multiply_portable(x, x, c);
        ck_gf128_multiply_portable(y, b, c);
        ck_gf128_multiply_portable(y, a, y);
        check(memcmp(x, y, 16) == 0, "(ab)c = a(bc)");
        ck_gf128_multiply_portable(x, a, c);
        ck_gf128_multiply_portable(y, b, c);
        const uint64_t sum[2] = {a[0] ^ b[0], a[1] ^ b[1]};
        ck_gf128_multiply_portable(z, sum, c);
        check(z[0] == (x[0] ^ y[0]) && z[1] == (x[1] ^ y[1]), "(a + b)c = ac + bc");
        ck_gf128_multiply_portable(x, a, one);
        check(memcmp(x, a, 16) == 0, "a1 = a");
    }
}

void prove_gf128(void) {
    known_answers();
    field();
    for (size_t n = 0; n <= 1100; n++) at(n, any_alignment());
    for (int alignment = 0; alignment < 64; alignment++) at(513 + random_below(600), alignment);
    for (int i = 0; i < 200; i++) {
        const size_t n = random_below(4097);
        at(n, any_alignment());
    }
}

// XOR: every length up to 4,096 and every alignment of each pointer, apart and in place.
#include "proof.h"

#include "cpu/ck_stream.h"
#include "xor/xor_internal.h"

static const struct {
    const char *name;
    uint32_t features;
    void (*run)(uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n);
} variants[] = {
    {"portable", 0, ck_xor_portable},
#if defined(__x86_64__)
    {"avx2", CK_CPU_AVX2, ck_xor_avx2},
    {"avx512", CK_CPU_AVX512, ck_xor_avx512},
    {"stream", 0, ck_xor_stream},
#elif defined(__aarch64__)
    {"neon", CK_CPU_NEON, ck_xor_neon},
#endif
};

enum { OUT, A, B, EXPECTED };

// Alignments are random but for that of one slot.
static void at(size_t n, int slot, int alignment) {
    int alignments[3];
    for (int i = OUT; i <= B; i++) {
        alignments[i] = any_alignment();
        if (i == slot) alignments[i] = alignment;
    }
    static uint8_t x[4096], y[4096];
    random_fill(x, n);
    random_fill(y, n);
    uint8_t *a = place(A, n, alignments[A]), *b = place(B, n, alignments[B]), *expected = place(EXPECTED, n, FLUSH);
    memcpy(a, x, n);
    memcpy(b, y, n);
    for (size_t i = 0; i < n; i++) expected[i] = x[i] ^ y[i];
    digest(expected, n);
    for (size_t v = 0; v < COUNT(variants); v++) {
        if (!available(variants[v].name, variants[v].features)) continue;
        under_test(variants[v].name, n);
        uint8_t *out = place(OUT, n, alignments[OUT]);
        variants[v].run(out, a, b, n);
        check(memcmp(out, expected, n) == 0 && untouched(OUT), "apart");
        memcpy(out, x, n);
        variants[v].run(out, out, b, n);
        check(memcmp(out, expected, n) == 0 && untouched(OUT), "in place of the first operand");
        memcpy(out, y, n);
        variants[v].run(out, a, out, n);
        check(memcmp(out, expected, n) == 0 && untouched(OUT), "in place of the second operand");
        check(memcmp(a, x, n) == 0 && memcmp(b, y, n) == 0, "operands unchanged");
    }
    under_test("dispatch", n);
    uint8_t *out = place(OUT, n, alignments[OUT]);
    ck_xor(out, a, b, n);
    check(memcmp(out, expected, n) == 0 && untouched(OUT), "apart");
    ck_xor_into(a, b, n);
    check(memcmp(a, expected, n) == 0 && untouched(A), "into");
}

#if defined(__x86_64__)
// Strings beyond the caches, for which dispatch takes the streaming form, and ones that just miss that.
static void beyond_caches(void) {
    enum { MOST = CK_STREAM_MINIMUM + 4096, PATTERN = 0xa5, AROUND = 64 };
    uint8_t *a = malloc(MOST), *b = malloc(MOST), *expected = malloc(MOST), *room = malloc(MOST + 3 * AROUND);
    if (a == NULL || b == NULL || expected == NULL || room == NULL) {
        perror("long strings");
        exit(71);
    }
    random_fill(a, MOST);
    random_fill(b, MOST);
    for (size_t i = 0; i < MOST; i++) expected[i] = a[i] ^ b[i];
    static const size_t lengths[] = {CK_STREAM_MINIMUM - 1, CK_STREAM_MINIMUM, CK_STREAM_MINIMUM + 1,
                                     CK_STREAM_MINIMUM + 777};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        const size_t n = lengths[i];
        under_test("dispatch", n);
        for (int turn = 0; turn < 4; turn++) {
            memset(room, PATTERN, MOST + 3 * AROUND);
            const size_t shift = turn == 0 ? 0 : 1 + random_below(63), skip = random_below(64);
            uint8_t *out = room + AROUND + (-(uintptr_t)room & 63) + shift;
            ck_xor(out, a + skip, b + skip, n);
            check(memcmp(out, expected + skip, n) == 0, "apart");
            bool whole = true;
            for (size_t k = 1; k < AROUND; k++) whole &= *(out - k) == PATTERN && out[n - 1 + k] == PATTERN;
            check(whole, "no byte beyond");
        }
        memcpy(room, a, n);
        ck_xor_into(room, b, n);
        check(memcmp(room, expected, n) == 0, "into");
    }
    free(a);
    free(b);
    free(expected);
    free(room);
}
#endif

void prove_xor(void) {
    for (size_t n = 0; n <= 4096; n++) at(n, EXPECTED, 0);
    for (int alignment = 0; alignment < 64; alignment++) {
        for (int slot = OUT; slot <= B; slot++) at(64 + random_below(600), slot, alignment);
    }
#if defined(__x86_64__)
    beyond_caches();
#endif
}

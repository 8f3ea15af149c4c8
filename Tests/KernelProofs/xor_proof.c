// XOR: every length up to 4,096 and every alignment of each pointer, apart and in place.
#include "proof.h"

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

void prove_xor(void) {
    for (size_t n = 0; n <= 4096; n++) at(n, EXPECTED, 0);
    for (int alignment = 0; alignment < 64; alignment++) {
        for (int slot = OUT; slot <= B; slot++) at(64 + random_below(600), slot, alignment);
    }
}

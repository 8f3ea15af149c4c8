// (2,3) shares: the scheme itself exhaustively on bits, then every variant on every length.
#include "proof.h"

#include "cpu/ck_stream.h"
#include "shares/shares_internal.h"

#define VARIANT(name, features)                                                                                     \
    {#name, features, ck_share_split_##name, ck_share_join_ab_##name, ck_share_join_ac_##name,                      \
     ck_share_join_bc_##name, ck_share_syndrome_##name, ck_share_refresh_##name}

typedef void join_function(uint8_t *s, const uint8_t *x, const uint8_t *y, size_t half);

static const struct {
    const char *name;
    uint32_t features;
    void (*split)(uint8_t *a, uint8_t *b, const uint8_t *s, const uint8_t *r, size_t half);
    join_function *join_ab, *join_ac, *join_bc;
    uint8_t (*syndrome)(const uint8_t *a, const uint8_t *b, const uint8_t *c, size_t half);
    void (*refresh)(uint8_t *x, uint8_t *y, const uint8_t *own, const uint8_t *other, size_t half);
} variants[] = {
    VARIANT(portable, 0),
#if defined(__x86_64__)
    VARIANT(avx2, CK_CPU_AVX2),
    VARIANT(avx512, CK_CPU_AVX512),
#elif defined(__aarch64__)
    VARIANT(neon, CK_CPU_NEON),
#endif
};

enum { MOST = 4096 };

// The scheme as the paper writes it, a byte at a time.
static void split_by_definition(uint8_t *a, uint8_t *b, uint8_t *c, const uint8_t *s, const uint8_t *r, size_t half) {
    for (size_t i = 0; i < half; i++) {
        const size_t j = half + i;
        a[i] = s[i] ^ r[i];
        a[j] = s[j] ^ r[j] ^ r[i];
        b[i] = s[i] ^ r[i] ^ r[j];
        b[j] = s[j] ^ r[j];
        c[i] = r[i];
        c[j] = r[j];
    }
}

// All secrets and all random bits of a two-bit block, each bit as a byte of zeros or ones: any two shares restore,
// repair gives back the third, and over all random bits each share takes each value once, so that it says nothing of
// the secret.
static void exhaustive(void) {
    under_test("scheme", 2);
    for (unsigned secret = 0; secret < 4; secret++) {
        unsigned seen[3][4] = {{0}};
        for (unsigned random = 0; random < 4; random++) {
            const uint8_t s[2] = {(uint8_t)-(secret & 1), (uint8_t)-(secret >> 1)};
            const uint8_t r[2] = {(uint8_t)-(random & 1), (uint8_t)-(random >> 1)};
            uint8_t a[2], b[2], out[2];
            ck_share_split(a, b, s, r, 1);
            const uint8_t *shares[3] = {a, b, r};
            for (int i = 0; i < 3; i++) seen[i][(shares[i][0] & 1) | (shares[i][1] & 2)]++;
            ck_share_join_ab(out, a, b, 1);
            check(memcmp(out, s, 2) == 0, "A and B restore");
            ck_share_join_ac(out, a, r, 1);
            check(memcmp(out, s, 2) == 0, "A and C restore");
            ck_share_join_bc(out, b, r, 1);
            check(memcmp(out, s, 2) == 0, "B and C restore");
            ck_share_repair_ab(out, b, r, 1);
            check(memcmp(out, a, 2) == 0, "A from B and C");
            ck_share_repair_ab(out, a, r, 1);
            check(memcmp(out, b, 2) == 0, "B from A and C");
            ck_share_repair_c(out, a, b, 1);
            check(memcmp(out, r, 2) == 0, "C from A and B");
            for (unsigned zero = 0; zero < 4; zero++) {
                const uint8_t z[2] = {(uint8_t)-(zero & 1), (uint8_t)-(zero >> 1)};
                uint8_t x[2] = {a[0], a[1]}, y[2] = {b[0], b[1]}, w[2] = {r[0], r[1]};
                ck_share_refresh_a(x, z, 1);
                ck_share_refresh_b(y, z, 1);
                ck_share_refresh_c(w, z, 1);
                check(ck_share_consistent(x, y, w, 1) == 1, "refreshed shares are shares");
                ck_share_join_ab(out, x, y, 1);
                check(memcmp(out, s, 2) == 0, "refreshed A and B restore");
                ck_share_join_ac(out, x, w, 1);
                check(memcmp(out, s, 2) == 0, "refreshed A and C restore");
                ck_share_join_bc(out, y, w, 1);
                check(memcmp(out, s, 2) == 0, "refreshed B and C restore");
            }
        }
        for (int i = 0; i < 12; i++) check(seen[i / 4][i % 4] == 1, "one share says nothing");
    }
}

// A single changed bit, anywhere in any share, is seen.
static void integrity(size_t half) {
    enum { A, B, C };
    uint8_t s[64], r[64], *share[3];
    random_fill(s, 2 * half);
    random_fill(r, 2 * half);
    for (int i = A; i <= C; i++) share[i] = place(i, 2 * half, FLUSH);
    ck_share_split(share[A], share[B], s, r, half);
    memcpy(share[C], r, 2 * half);
    under_test("integrity", half);
    check(ck_share_consistent(share[A], share[B], share[C], half) == 1, "whole shares");
    for (int i = A; i <= C; i++) {
        for (size_t bit = 0; bit < 16 * half; bit++) {
            share[i][bit / 8] ^= (uint8_t)(1u << bit % 8);
            check(ck_share_consistent(share[A], share[B], share[C], half) == 0, "a changed bit is seen");
            share[i][bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

static void at(size_t half) {
    enum { A, B, C, S, OUT, X };
    static uint8_t secret[MOST], random[MOST], a[MOST], b[MOST], c[MOST], swapped[MOST], zero[MOST];
    const size_t n = 2 * half;
    random_fill(secret, n);
    random_fill(random, n);
    random_fill(zero, n);
    split_by_definition(a, b, c, secret, random, half);
    digest(a, n);
    digest(b, n);
    for (size_t i = 0; i < half; i++) {
        swapped[i] = c[half + i];
        swapped[half + i] = c[i];
    }
    uint8_t *s = place(S, n, any_alignment()), *r = place(C, n, any_alignment());
    const int aligned_a = any_alignment(), aligned_b = any_alignment(), aligned = any_alignment();
    const size_t byte = random_below(n + 1) % (n > 0 ? n : 1);
    const uint8_t flip = (uint8_t)(1u << random_below(8));
    memcpy(s, secret, n);
    memcpy(r, random, n);
    for (size_t v = 0; v < COUNT(variants); v++) {
        if (!available(variants[v].name, variants[v].features)) continue;
        under_test(variants[v].name, half);
        uint8_t *x = place(A, n, aligned_a), *y = place(B, n, aligned_b), *out = place(OUT, n, aligned);
        variants[v].split(x, y, s, r, half);
        check(memcmp(x, a, n) == 0 && memcmp(y, b, n) == 0 && untouched(A) && untouched(B), "split");
        memcpy(out, secret, n);
        variants[v].split(out, y, out, r, half);
        check(memcmp(out, a, n) == 0 && memcmp(y, b, n) == 0 && untouched(OUT), "split in place");
        join_function *const joins[3] = {variants[v].join_ab, variants[v].join_ac, variants[v].join_bc};
        const uint8_t *const pairs[3][2] = {{x, y}, {x, r}, {y, r}};
        for (int i = 0; i < 3; i++) {
            out = place(OUT, n, aligned);
            joins[i](out, pairs[i][0], pairs[i][1], half);
            check(memcmp(out, secret, n) == 0 && untouched(OUT), "join");
            memcpy(out, pairs[i][0], n);
            joins[i](out, out, pairs[i][1], half);
            check(memcmp(out, secret, n) == 0 && untouched(OUT), "join in place of the first share");
            memcpy(out, pairs[i][1], n);
            joins[i](out, pairs[i][0], out, half);
            check(memcmp(out, secret, n) == 0 && untouched(OUT), "join in place of the second share");
        }
        check(variants[v].syndrome(x, y, r, half) == 0, "whole shares");
        if (n > 0) {
            x[byte] ^= flip;
            check(variants[v].syndrome(x, y, r, half) == flip, "a changed bit");
            x[byte] ^= flip;
        }
        uint8_t *z = place(X, n, aligned);
        memcpy(z, zero, n);
        variants[v].refresh(x, x + half, z, z + half, half);
        variants[v].refresh(y + half, y, z + half, z, half);
        bool right = true;
        for (size_t i = 0; i < half; i++) {
            const uint8_t both = zero[i] ^ zero[half + i];
            right &= x[i] == (a[i] ^ zero[i]) && x[half + i] == (a[half + i] ^ both);
            right &= y[i] == (b[i] ^ both) && y[half + i] == (b[half + i] ^ zero[half + i]);
        }
        check(right && untouched(A) && untouched(B), "refresh");
        check(memcmp(s, secret, n) == 0 && memcmp(r, random, n) == 0, "operands unchanged");
    }
    under_test("dispatch", half);
    uint8_t *x = place(A, n, aligned_a), *y = place(B, n, aligned_b), *out = place(OUT, n, aligned);
    ck_share_split(x, y, s, r, half);
    check(memcmp(x, a, n) == 0 && memcmp(y, b, n) == 0, "split");
    ck_share_repair_ab(out, y, r, half);
    check(memcmp(out, a, n) == 0 && untouched(OUT), "A from B and C");
    ck_share_repair_ab(out, x, r, half);
    check(memcmp(out, b, n) == 0 && untouched(OUT), "B from A and C");
    ck_share_repair_c(out, x, y, half);
    check(memcmp(out, c, n) == 0 && untouched(OUT), "C from A and B");
    for (size_t i = 0; i < n; i++) out[i] = a[i] ^ b[i];
    check(memcmp(out, swapped, n) == 0, "A + B is C with its halves swapped");
    check(ck_share_consistent(x, y, r, half) == 1, "whole shares");
}

#if defined(__x86_64__)
// The streaming forms: both halves of an output on cache lines, never in place.
static void streaming(size_t half) {
    enum { A, B, R, S, OUT };
    static uint8_t secret[MOST], a[MOST], b[MOST], c[MOST];
    const size_t n = 2 * half;
    under_test("stream", half);
    available("stream", 0);
    uint8_t *s = place(S, n, any_alignment()), *r = place(R, n, any_alignment());
    random_fill(secret, n);
    memcpy(s, secret, n);
    random_fill(r, n);
    split_by_definition(a, b, c, secret, r, half);
    uint8_t *x = place(A, n, 0), *y = place(B, n, 0), *out = place(OUT, n, 0);
    ck_share_split_stream(x, y, s, r, half);
    check(memcmp(x, a, n) == 0 && memcmp(y, b, n) == 0 && untouched(A) && untouched(B), "split");
    x = place(A, n, any_alignment());
    y = place(B, n, any_alignment());
    memcpy(x, a, n);
    memcpy(y, b, n);
    ck_share_join_ab_stream(out, x, y, half);
    check(memcmp(out, secret, n) == 0 && untouched(OUT), "A and B restore");
    ck_share_join_ac_stream(out, x, r, half);
    check(memcmp(out, secret, n) == 0 && untouched(OUT), "A and C restore");
    ck_share_join_bc_stream(out, y, r, half);
    check(memcmp(out, secret, n) == 0 && untouched(OUT), "B and C restore");
}
#endif

#if defined(__x86_64__)
// Blocks beyond the caches, for which dispatch takes the streaming forms when both halves of the outputs lie on lines.
static void beyond_caches(size_t half, size_t shift) {
    enum { SECRET, RANDOM, A, B, C, X, Y, BUFFERS };
    const size_t n = 2 * half;
    uint8_t *rooms[BUFFERS], *p[BUFFERS];
    under_test("dispatch", half);
    for (int i = 0; i < BUFFERS; i++) {
        rooms[i] = aligned_alloc(64, (n + 128 + 63) / 64 * 64);
        if (rooms[i] == NULL) {
            perror("long blocks");
            exit(71);
        }
        memset(rooms[i], 0xa5, n + 128);
        p[i] = rooms[i] + (i >= X ? shift : 0);
    }
    random_fill(p[SECRET], n);
    random_fill(p[RANDOM], n);
    split_by_definition(p[A], p[B], p[C], p[SECRET], p[RANDOM], half);
    ck_share_split(p[X], p[Y], p[SECRET], p[RANDOM], half);
    check(memcmp(p[X], p[A], n) == 0 && memcmp(p[Y], p[B], n) == 0, "split");
    ck_share_join_ab(p[X], p[A], p[B], half);
    check(memcmp(p[X], p[SECRET], n) == 0, "A and B restore");
    ck_share_join_ac(p[Y], p[A], p[C], half);
    check(memcmp(p[Y], p[SECRET], n) == 0, "A and C restore");
    memset(p[X], 0, n);
    ck_share_join_bc(p[X], p[B], p[C], half);
    check(memcmp(p[X], p[SECRET], n) == 0, "B and C restore");
    bool whole = true;
    for (int i = X; i <= Y; i++) {
        for (size_t k = 0; k < 64; k++) whole &= p[i][n + k] == 0xa5 && (k >= shift || rooms[i][k] == 0xa5);
    }
    check(whole, "no byte beyond");
    ck_share_split(p[SECRET], p[Y], p[SECRET], p[RANDOM], half);
    check(memcmp(p[SECRET], p[A], n) == 0 && memcmp(p[Y], p[B], n) == 0, "split in place");
    for (int i = 0; i < BUFFERS; i++) free(rooms[i]);
}
#endif

void prove_shares(void) {
    exhaustive();
    for (size_t half = 1; half <= 32; half++) integrity(half);
    for (size_t half = 0; half <= MOST / 2; half++) at(half);
#if defined(__x86_64__)
    // Last, so that the inputs above are the same where there is no such form.
    for (size_t half = 0; half <= MOST / 2; half += 64) streaming(half);
    static const size_t halves[] = {CK_STREAM_MINIMUM / 2 - 64, CK_STREAM_MINIMUM / 2, CK_STREAM_MINIMUM / 2 + 1,
                                    CK_STREAM_MINIMUM / 2 + 64};
    for (size_t i = 0; i < COUNT(halves); i++) {
        beyond_caches(halves[i], 0);
        beyond_caches(halves[i], 8);
    }
#endif
}

// The loops of shares.h, compiled once per instruction set: CK_VARIANT(name) makes a function's name, TARGET is its
// attribute, INTERLEAVE says how many vectors are in flight. They are plain C on bytes that the compiler turns into
// vectors; `EACH` says that iterations do not depend on each other, which holds because outputs alias inputs exactly or
// not at all. Every iteration loads all its inputs before it stores.

#if defined(__clang__)
// Under a sanitizer or without optimisation the loops stay scalar, which is as right as it is slow.
#pragma clang diagnostic ignored "-Wpass-failed"
#define PRAGMA_(text) _Pragma(#text)
#define PRAGMA(text) PRAGMA_(text)
#define INDEPENDENT PRAGMA(clang loop vectorize(assume_safety) interleave_count(INTERLEAVE))
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif
#define EACH INDEPENDENT for (size_t i = 0; i < half; i++)

TARGET void CK_VARIANT(ck_share_split)(uint8_t *a, uint8_t *b, const uint8_t *s, const uint8_t *r, size_t half) {
    EACH {
        const uint8_t r1 = r[i], r2 = r[half + i], a1 = s[i] ^ r1, b2 = s[half + i] ^ r2;
        a[i] = a1;
        a[half + i] = b2 ^ r1;
        b[i] = a1 ^ r2;
        b[half + i] = b2;
    }
}

TARGET void CK_VARIANT(ck_share_join_ab)(uint8_t *s, const uint8_t *a, const uint8_t *b, size_t half) {
    EACH {
        const uint8_t a2 = a[half + i], b1 = b[i], t = a[i] ^ b[half + i];
        s[i] = t ^ a2;
        s[half + i] = t ^ b1;
    }
}

TARGET void CK_VARIANT(ck_share_join_ac)(uint8_t *s, const uint8_t *a, const uint8_t *c, size_t half) {
    EACH {
        const uint8_t c1 = c[i], s1 = a[i] ^ c1, s2 = a[half + i] ^ c1 ^ c[half + i];
        s[i] = s1;
        s[half + i] = s2;
    }
}

TARGET void CK_VARIANT(ck_share_join_bc)(uint8_t *s, const uint8_t *b, const uint8_t *c, size_t half) {
    EACH {
        const uint8_t c2 = c[half + i], s1 = b[i] ^ c[i] ^ c2, s2 = b[half + i] ^ c2;
        s[i] = s1;
        s[half + i] = s2;
    }
}

TARGET uint8_t CK_VARIANT(ck_share_syndrome)(const uint8_t *a, const uint8_t *b, const uint8_t *c, size_t half) {
    uint8_t difference = 0;
    EACH difference |= (a[i] ^ b[i] ^ c[half + i]) | (a[half + i] ^ b[half + i] ^ c[i]);
    return difference;
}

// x += z1, y += z1 + z2: with the halves named by the caller this is the refresh of A and of B.
TARGET void CK_VARIANT(ck_share_refresh)(uint8_t *x, uint8_t *y, const uint8_t *own, const uint8_t *other,
                                         size_t half) {
    EACH {
        const uint8_t z = own[i];
        x[i] ^= z;
        y[i] ^= z ^ other[i];
    }
}

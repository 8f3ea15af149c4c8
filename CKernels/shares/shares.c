#include "shares_internal.h"

#include "../cpu/ck_cpu.h"
#include "../cpu/ck_stream.h"
#include "../xor/xor.h"

#if defined(__x86_64__)
#define DISPATCH(name, ...) \
    (ck_cpu_has(CK_CPU_AVX512) ? name##_avx512(__VA_ARGS__) \
     : ck_cpu_has(CK_CPU_AVX2) ? name##_avx2(__VA_ARGS__) \
                               : name##_portable(__VA_ARGS__))

// Whether `out` is far larger than the caches, has both halves on lines, and is not one of the inputs, which would be
// in the cache in any case.
static bool streams(const void *out, const void *x, const void *y, size_t half) {
    return half >= CK_STREAM_MINIMUM / 2 && half % sizeof(ck_line) == 0 && ck_is_line_aligned(out) && out != x &&
           out != y;
}
#define STREAM_OR_DISPATCH(name, streams, ...) ((streams) ? name##_stream(__VA_ARGS__) : DISPATCH(name, __VA_ARGS__))
#elif defined(__aarch64__)
#define DISPATCH(name, ...) (ck_cpu_has(CK_CPU_NEON) ? name##_neon(__VA_ARGS__) : name##_portable(__VA_ARGS__))
#define STREAM_OR_DISPATCH(name, streams, ...) DISPATCH(name, __VA_ARGS__)
#else
#define DISPATCH(name, ...) name##_portable(__VA_ARGS__)
#define STREAM_OR_DISPATCH(name, streams, ...) DISPATCH(name, __VA_ARGS__)
#endif

void ck_share_split(void *a, void *b, const void *s, const void *r, size_t half) {
    STREAM_OR_DISPATCH(ck_share_split, streams(a, s, r, half) && streams(b, s, r, half), a, b, s, r, half);
}

void ck_share_join_ab(void *s, const void *a, const void *b, size_t half) {
    STREAM_OR_DISPATCH(ck_share_join_ab, streams(s, a, b, half), s, a, b, half);
}

void ck_share_join_ac(void *s, const void *a, const void *c, size_t half) {
    STREAM_OR_DISPATCH(ck_share_join_ac, streams(s, a, c, half), s, a, c, half);
}

void ck_share_join_bc(void *s, const void *b, const void *c, size_t half) {
    STREAM_OR_DISPATCH(ck_share_join_bc, streams(s, b, c, half), s, b, c, half);
}

void ck_share_repair_ab(void *out, const void *share, const void *c, size_t half) {
    const uint8_t *x = share, *y = c;
    ck_xor(out, x, y + half, half);
    ck_xor((uint8_t *)out + half, x + half, y, half);
}

void ck_share_repair_c(void *out, const void *a, const void *b, size_t half) {
    const uint8_t *x = a, *y = b;
    ck_xor(out, x + half, y + half, half);
    ck_xor((uint8_t *)out + half, x, y, half);
}

int ck_share_consistent(const void *a, const void *b, const void *c, size_t half) {
    return DISPATCH(ck_share_syndrome, a, b, c, half) == 0;
}

void ck_share_refresh_a(void *a, const void *z, size_t half) {
    uint8_t *share = a;
    const uint8_t *zero = z;
    DISPATCH(ck_share_refresh, share, share + half, zero, zero + half, half);
}

void ck_share_refresh_b(void *b, const void *z, size_t half) {
    uint8_t *share = b;
    const uint8_t *zero = z;
    DISPATCH(ck_share_refresh, share + half, share, zero + half, zero, half);
}

void ck_share_refresh_c(void *c, const void *z, size_t half) { ck_xor_into(c, z, 2 * half); }

// Stores that pass the caches by, for results far larger than any cache: the line that a result overwrites is not read
// first, and the caches keep what they have. x86-64 has them in its baseline; elsewhere kernels use ordinary stores.
#ifndef CK_STREAM_H
#define CK_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Bytes of a result from which on streaming is faster (CKernels/README.md has the figures).
enum { CK_STREAM_MINIMUM = 4 << 20 };

#if defined(__x86_64__)
#include <emmintrin.h>

// A line of the cache.
typedef struct {
    __m128i q[4];
} ck_line;

static inline bool ck_is_line_aligned(const void *p) { return (uintptr_t)p % sizeof(ck_line) == 0; }

static inline ck_line ck_line_load(const uint8_t *p) {
    const __m128i *q = (const __m128i *)p;
    return (ck_line){{_mm_loadu_si128(q), _mm_loadu_si128(q + 1), _mm_loadu_si128(q + 2), _mm_loadu_si128(q + 3)}};
}

static inline ck_line ck_line_xor(ck_line x, ck_line y) {
    for (int i = 0; i < 4; i++) x.q[i] = _mm_xor_si128(x.q[i], y.q[i]);
    return x;
}

// `p` is aligned to a line. ck_stream_end makes what was stored visible in order.
static inline void ck_line_stream(uint8_t *p, ck_line x) {
    for (int i = 0; i < 4; i++) _mm_stream_si128((__m128i *)p + i, x.q[i]);
}

static inline void ck_stream_end(void) { _mm_sfence(); }
#endif

#endif

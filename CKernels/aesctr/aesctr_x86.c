// AES-NI and VAES: the processor's own rounds, with no data-dependent timing. Eight registers are in flight, because a
// round takes several cycles and starts every cycle.
#include "aesctr_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define TARGET_AESNI __attribute__((target("aes,ssse3,sse4.1")))
#define TARGET_VAES __attribute__((target("aes,vaes,avx512f,avx512bw,avx512vl,avx512dq")))

static inline uint64_t load_big(const uint8_t *p) {
    uint64_t value;
    memcpy(&value, p, 8);
    return __builtin_bswap64(value);
}

static inline void store_big(uint8_t *p, uint64_t value) {
    value = __builtin_bswap64(value);
    memcpy(p, &value, 8);
}

// Adds to the 128-bit big-endian counter.
static inline void advance(uint8_t counter[16], uint64_t blocks) {
    uint64_t low = load_big(counter + 8), high = load_big(counter);
    store_big(counter + 8, low + blocks);
    store_big(counter, high + (low + blocks < low));
}

TARGET_AESNI static inline __m128i block_at(const uint8_t counter[16], uint64_t add) {
    uint8_t t[16];
    memcpy(t, counter, 16);
    advance(t, add);
    return _mm_loadu_si128((const __m128i *)t);
}

TARGET_AESNI static inline __m128i encrypt(const __m128i k[CK_AES256_ROUNDS + 1], __m128i x) {
    x = _mm_xor_si128(x, k[0]);
    for (int round = 1; round < CK_AES256_ROUNDS; round++) x = _mm_aesenc_si128(x, k[round]);
    return _mm_aesenclast_si128(x, k[CK_AES256_ROUNDS]);
}

// The last, partial block.
TARGET_AESNI static void finish(
    const __m128i k[CK_AES256_ROUNDS + 1], uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b,
    size_t n) {
    uint8_t stream[16];
    _mm_storeu_si128((__m128i *)stream, encrypt(k, block_at(counter, 0)));
    for (size_t i = 0; i < n; i++) out[i] = (uint8_t)(stream[i] ^ (a ? a[i] : 0) ^ (b ? b[i] : 0));
    advance(counter, 1);
}

TARGET_AESNI void ck_aes256_ctr_aesni(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n) {
    __m128i k[CK_AES256_ROUNDS + 1];
    for (int i = 0; i <= CK_AES256_ROUNDS; i++) k[i] = _mm_loadu_si128((const __m128i *)schedule->round_keys[i]);
    size_t at = 0;
    for (; n - at >= 128; at += 128) {
        __m128i x[8];
        for (int i = 0; i < 8; i++) x[i] = _mm_xor_si128(block_at(counter, (uint64_t)i), k[0]);
        for (int round = 1; round < CK_AES256_ROUNDS; round++)
            for (int i = 0; i < 8; i++) x[i] = _mm_aesenc_si128(x[i], k[round]);
        for (int i = 0; i < 8; i++) {
            x[i] = _mm_aesenclast_si128(x[i], k[CK_AES256_ROUNDS]);
            if (a) x[i] = _mm_xor_si128(x[i], _mm_loadu_si128((const __m128i *)(a + at + 16 * i)));
            if (b) x[i] = _mm_xor_si128(x[i], _mm_loadu_si128((const __m128i *)(b + at + 16 * i)));
            _mm_storeu_si128((__m128i *)(out + at + 16 * i), x[i]);
        }
        advance(counter, 8);
    }
    for (; at < n; at += 16) {
        size_t rest = n - at < 16 ? n - at : 16;
        finish(k, counter, out + at, a ? a + at : a, b ? b + at : b, rest);
    }
    volatile __m128i *wipe = k;
    for (int i = 0; i <= CK_AES256_ROUNDS; i++) wipe[i] = _mm_setzero_si128();
}

// One pass of 512 bytes. 'operands' is a constant at each call, so that unused loads vanish.
#define PASS(operands)                                                                                            \
    do {                                                                                                          \
        __m512i x[8];                                                                                             \
        for (int i = 0; i < 8; i++) {                                                                             \
            x[i] = _mm512_xor_si512(_mm512_shuffle_epi8(position, to_big), k[0]);                                 \
            position = _mm512_add_epi64(position, four);                                                          \
        }                                                                                                         \
        for (int round = 1; round < CK_AES256_ROUNDS; round++)                                                    \
            for (int i = 0; i < 8; i++) x[i] = _mm512_aesenc_epi128(x[i], k[round]);                              \
        for (int i = 0; i < 8; i++) {                                                                             \
            x[i] = _mm512_aesenclast_epi128(x[i], k[CK_AES256_ROUNDS]);                                           \
            if ((operands) > 0) x[i] = _mm512_xor_si512(x[i], _mm512_loadu_si512(a + at + 64 * i));               \
            if ((operands) > 1) x[i] = _mm512_xor_si512(x[i], _mm512_loadu_si512(b + at + 64 * i));               \
            _mm512_storeu_si512(out + at + 64 * i, x[i]);                                                         \
        }                                                                                                         \
    } while (0)

TARGET_VAES void ck_aes256_ctr_vaes(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n) {
    if (!a) a = b, b = 0;
    __m512i k[CK_AES256_ROUNDS + 1];
    for (int i = 0; i <= CK_AES256_ROUNDS; i++)
        k[i] = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)schedule->round_keys[i]));
    // Counters as little-endian pairs (low, high) of 64 bits, shuffled into big-endian blocks.
    const __m512i to_big = _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m512i four = _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4);
    size_t at = 0;
    while (n - at >= 512) {
        uint64_t low = load_big(counter + 8), high = load_big(counter);
        size_t passes = (n - at) / 512;
        // The lanes add without carry into the upper half, so a run ends before the lower half would wrap round.
        uint64_t room = (UINT64_MAX - low) / 32;
        if (room == 0) break;
        if (passes > room) passes = (size_t)room;
        __m512i position = _mm512_set_epi64(
            (long long)high, (long long)(low + 3), (long long)high, (long long)(low + 2), (long long)high,
            (long long)(low + 1), (long long)high, (long long)low);
        for (size_t pass = 0; pass < passes; pass++, at += 512) {
            if (!a) PASS(0);
            else if (!b) PASS(1);
            else PASS(2);
        }
        advance(counter, 32 * (uint64_t)passes);
    }
    if (at < n) ck_aes256_ctr_aesni(schedule, counter, out + at, a ? a + at : a, b ? b + at : b, n - at);
    volatile __m512i *wipe = k;
    for (int i = 0; i <= CK_AES256_ROUNDS; i++) wipe[i] = _mm512_setzero_si512();
}
#endif

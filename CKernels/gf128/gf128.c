#include "gf128.h"

#include "../cpu/ck_cpu.h"
#include "../memory/memory.h"
#include "../xor/xor.h"
#include "gf128_internal.h"

#include <string.h>

enum { PORTABLE, PCLMUL, VPCLMUL, NEON };

static uint64_t load_be64(const uint8_t *p) {
    uint64_t value;
    memcpy(&value, p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static void store_be64(uint8_t *p, uint64_t value) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    memcpy(p, &value, 8);
}

static void blocks(ck_gf128 *state, const uint8_t *message, size_t count) {
#if defined(__x86_64__)
    if (state->variant == VPCLMUL) return ck_gf128_blocks_vpclmul(state, message, count);
    if (state->variant == PCLMUL) return ck_gf128_blocks_pclmul(state, message, count);
#elif defined(__aarch64__)
    if (state->variant == NEON) return ck_gf128_blocks_neon(state, message, count);
#endif
    ck_gf128_blocks_portable(state, message, count);
}

void ck_gf128_init(ck_gf128 *state, const void *key) {
    const uint8_t *bytes = key;
    const uint64_t high = load_be64(bytes), low = load_be64(bytes + 8);
    memset(state, 0, sizeof *state);
    // Multiplication by x; the carry is folded in with a mask, not a branch.
    const uint64_t carry = 0 - (high >> 63);
    uint64_t *k = state->powers[CK_GF128_POWERS - 1];
    k[0] = (low << 1) ^ (carry & 1);
    k[1] = (high << 1 | low >> 63) ^ (carry & 0xc200000000000000u);
    state->variant = PORTABLE;
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_PCLMULQDQ)) {
        state->variant = ck_cpu_has(CK_CPU_AVX512 | CK_CPU_VPCLMULQDQ) ? VPCLMUL : PCLMUL;
        ck_gf128_powers_pclmul(state);
    }
#elif defined(__aarch64__)
    if (ck_cpu_has(CK_CPU_PMULL)) {
        state->variant = NEON;
        ck_gf128_powers_neon(state);
    }
#endif
}

void ck_gf128_update(ck_gf128 *state, const void *message, size_t n) {
    const uint8_t *bytes = message;
    const size_t held = state->bytes % 16;
    if (n == 0) return;
    state->bytes += n;
    if (held != 0) {
        const size_t take = n < 16 - held ? n : 16 - held;
        memcpy(state->tail + held, bytes, take);
        if (held + take < 16) return;
        blocks(state, state->tail, 1);
        bytes += take;
        n -= take;
    }
    if (n >= 16) blocks(state, bytes, n / 16);
    if (n % 16 != 0) memcpy(state->tail, bytes + n / 16 * 16, n % 16);
}

// Where a processor has no form that does both at once, a piece stays in the nearest cache between the two.
enum { PIECE = 4096 };

// The next step of n bytes: what fills a block that was begun, then whole blocks, then the rest.
static size_t step(const ck_gf128 *state, size_t n) {
    const size_t held = state->bytes % 16;
    const size_t take = held != 0 ? 16 - held : n >= 16 ? n / 16 * 16 : n;
    return take < n ? take : n;
}

void ck_gf128_seal(ck_gf128 *state, void *out, const void *data, const void *pad, size_t n) {
    uint8_t *to = out;
    const uint8_t *from = data, *key = pad;
    while (n > 0) {
        size_t take = step(state, n);
#if defined(__x86_64__)
        if (state->variant == VPCLMUL && take % 16 == 0) {
            ck_gf128_seal_vpclmul(state, to, from, key, take / 16);
            state->bytes += take;
        } else
#endif
        {
            if (take > PIECE) take = PIECE;
            ck_xor(to, from, key, take);
            ck_gf128_update(state, to, take);
        }
        to += take, from += take, key += take, n -= take;
    }
}

void ck_gf128_open(ck_gf128 *state, void *text, const void *pad, size_t n) {
    uint8_t *at = text;
    const uint8_t *key = pad;
    while (n > 0) {
        size_t take = step(state, n);
#if defined(CK_GF128_OPENS_WIDE)
        if (state->variant == VPCLMUL && take % 16 == 0) {
            ck_gf128_open_vpclmul(state, at, key, take / 16);
            state->bytes += take;
        } else
#endif
        {
            if (take > PIECE) take = PIECE;
            ck_gf128_update(state, at, take);
            ck_xor_into(at, key, take);
        }
        at += take, key += take, n -= take;
    }
}

void ck_gf128_finish(ck_gf128 *state, void *hash) {
    uint8_t last[32] = {0};
    const size_t held = state->bytes % 16;
    memcpy(last, state->tail, held);
    store_be64(last + 24, state->bytes * 8);
    blocks(state, held != 0 ? last : last + 16, held != 0 ? 2 : 1);
    store_be64(hash, state->sum[1]);
    store_be64((uint8_t *)hash + 8, state->sum[0]);
    ck_wipe(last, sizeof last);
    ck_wipe(state->tail, sizeof state->tail);
    state->sum[0] = state->sum[1] = 0;
    state->bytes = 0;
}

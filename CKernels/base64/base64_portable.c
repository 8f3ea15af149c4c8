#include <string.h>

#include "../memory/memory.h"
#include "base64_internal.h"

// Integers of eight bytes, the first byte the highest.
static inline uint64_t load(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap64(value);
}

static inline void store(uint8_t *at, uint64_t value) {
    value = __builtin_bswap64(value);
    memcpy(at, &value, sizeof value);
}

// All bits when the condition holds. Bytes throughout, so that the compiler maps 16 and more characters at once.
#define MASK(condition) ((uint8_t) - (uint8_t)(condition))

static void letters(uint8_t *at, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const uint8_t v = at[i];
        uint8_t c = (uint8_t)(v + 'A');
        c = (uint8_t)(c + (MASK(v > 25) & ('a' - 'Z' - 1)));
        c = (uint8_t)(c - (MASK(v > 51) & ('z' + 1 - '0')));
        c = (uint8_t)(c - (MASK(v > 61) & ('9' + 1 - '+')));
        c = (uint8_t)(c + (MASK(v > 62) & ('/' - '+' - 1)));
        at[i] = c;
    }
}

// Values of characters; returns non-zero when one is not of the alphabet.
static uint8_t values(uint8_t *restrict out, const uint8_t *in, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const uint8_t c = in[i];
        const uint8_t upper = (uint8_t)(c - 'A'), lower = (uint8_t)(c - 'a'), digit = (uint8_t)(c - '0');
        // The highest bit stands for a character that none of the lines below takes.
        uint8_t v = 128;
        v = (uint8_t)(v ^ (MASK(upper < 26) & (uint8_t)(128 ^ upper)));
        v = (uint8_t)(v ^ (MASK(lower < 26) & (uint8_t)(128 ^ (uint8_t)(lower + 26))));
        v = (uint8_t)(v ^ (MASK(digit < 10) & (uint8_t)(128 ^ (uint8_t)(digit + 52))));
        v = (uint8_t)(v ^ (MASK(c == '+') & (128 ^ 62)));
        v = (uint8_t)(v ^ (MASK(c == '/') & (128 ^ 63)));
        out[i] = v;
    }
    uint8_t wrong = 0;
    for (size_t i = 0; i < n; i++) wrong |= out[i];
    return wrong & 128;
}

void ck_base64_encode_portable(uint8_t *out, const uint8_t *in, size_t n) {
    enum { block = 3 * 512 };
    while (n >= 3) {
        const size_t part = n < block ? n / 3 * 3 : block;
        uint8_t *at = out;
        size_t i = 0;
        // Six bytes at once, spread over eight by halves.
        for (; i + 8 <= part; i += 6) {
            uint64_t x = load(in + i) >> 16;
            x = (x & 0xFFFFFF000000) << 8 | (x & 0xFFFFFF);
            x = (x & 0x00FFF00000FFF000) << 4 | (x & 0x00000FFF00000FFF);
            x = (x & 0x0FC00FC00FC00FC0) << 2 | (x & 0x003F003F003F003F);
            store(at, x);
            at += 8;
        }
        for (; i < part; i += 3) {
            const uint8_t a = in[i], b = in[i + 1], c = in[i + 2];
            at[0] = a >> 2;
            at[1] = (uint8_t)((a & 3) << 4 | b >> 4);
            at[2] = (uint8_t)((b & 15) << 2 | c >> 6);
            at[3] = c & 63;
            at += 4;
        }
        letters(out, part / 3 * 4);
        out += part / 3 * 4;
        in += part;
        n -= part;
    }
    if (n == 0) return;
    const uint8_t a = in[0], b = n == 2 ? in[1] : 0;
    out[0] = a >> 2;
    out[1] = (uint8_t)((a & 3) << 4 | b >> 4);
    out[2] = (uint8_t)((b & 15) << 2);
    letters(out, 3);
    if (n == 1) out[2] = '=';
    out[3] = '=';
}

ptrdiff_t ck_base64_decode_portable(uint8_t *out, const uint8_t *in, size_t n) {
    enum { block = 4 * 512 };
    if (n % 4 != 0) return -1;
    if (n == 0) return 0;
    // Padding tells the length, which is no secret.
    const size_t padding = in[n - 1] != '=' ? 0 : in[n - 2] != '=' ? 1 : 2;
    const size_t whole = padding == 0 ? n : n - 4;
    uint8_t held[block];
    uint8_t wrong = 0;
    uint8_t *at = out;
    for (size_t start = 0; start < whole; start += block) {
        const size_t part = whole - start < block ? whole - start : block;
        wrong |= values(held, in + start, part);
        size_t i = 0;
        // Eight characters at once; the two bytes that are written too much are written again.
        for (; i + 12 <= part; i += 8) {
            uint64_t x = load(held + i);
            x = (x & 0x3F003F003F003F00) >> 2 | (x & 0x003F003F003F003F);
            x = (x & 0x0FFF00000FFF0000) >> 4 | (x & 0x00000FFF00000FFF);
            x = (x & 0x00FFFFFF00000000) >> 8 | (x & 0x0000000000FFFFFF);
            store(at, x << 16);
            at += 6;
        }
        for (; i < part; i += 4) {
            at[0] = (uint8_t)(held[i] << 2 | held[i + 1] >> 4);
            at[1] = (uint8_t)(held[i + 1] << 4 | held[i + 2] >> 2);
            at[2] = (uint8_t)(held[i + 2] << 6 | held[i + 3]);
            at += 3;
        }
    }
    if (padding != 0) {
        held[2] = 0;
        wrong |= values(held, in + whole, 4 - padding);
        const uint8_t c = padding == 2 ? 0 : held[2];
        *at++ = (uint8_t)(held[0] << 2 | held[1] >> 4);
        if (padding == 1) *at++ = (uint8_t)(held[1] << 4 | c >> 2);
        wrong |= (uint8_t)(padding == 2 ? held[1] << 4 : c << 6);
    }
    ck_wipe(held, sizeof held);
    // No jump: that a text was wrong is told by the value alone.
    return -(ptrdiff_t)(wrong != 0) | (at - out);
}

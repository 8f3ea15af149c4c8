#if defined(__x86_64__)

#include <immintrin.h>

#include "base64_internal.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi")))

// The look-ups of both functions are permutations of registers, whose time does not depend on the bytes.
static const char alphabet[64] __attribute__((nonstring)) =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

TARGET size_t ck_base64_encode_avx512(uint8_t *out, const uint8_t *in, size_t n) {
    // Each group of three bytes a, b, c becomes the word b a c b, whose six-bit fields lie at bits 10, 4, 22 and 16.
    uint8_t spread[64];
    for (int i = 0; i < 16; i++) {
        spread[4 * i] = (uint8_t)(3 * i + 1);
        spread[4 * i + 1] = (uint8_t)(3 * i);
        spread[4 * i + 2] = (uint8_t)(3 * i + 2);
        spread[4 * i + 3] = (uint8_t)(3 * i + 1);
    }
    const __m512i order = _mm512_loadu_si512(spread);
    const __m512i shifts = _mm512_set1_epi64(0x3036242A1016040A);
    const __m512i letters = _mm512_loadu_si512(alphabet);
    const __mmask64 part = _cvtu64_mask64((1ULL << 48) - 1);
    size_t i = 0;
    for (; n - i >= 48; i += 48) {
        const __m512i bytes = _mm512_permutexvar_epi8(order, _mm512_maskz_loadu_epi8(part, in + i));
        const __m512i fields = _mm512_multishift_epi64_epi8(shifts, bytes);
        _mm512_storeu_si512(out, _mm512_permutexvar_epi8(fields, letters));
        out += 64;
    }
    return i;
}

TARGET size_t ck_base64_decode_avx512(uint8_t *out, const uint8_t *in, size_t n, uint64_t *wrong) {
    // Values of the characters below 128; the highest bit stands for those that are not of the alphabet.
    uint8_t table[128], order[64] = {0};
    for (int i = 0; i < 128; i++) table[i] = 0x80;
    for (int i = 0; i < 64; i++) table[(int)alphabet[i]] = (uint8_t)i;
    for (int i = 0; i < 48; i++) order[i] = (uint8_t)(i / 3 * 4 + 2 - i % 3);
    const __m512i low = _mm512_loadu_si512(table), high = _mm512_loadu_si512(table + 64);
    const __m512i packed = _mm512_loadu_si512(order);
    const __mmask64 part = _cvtu64_mask64((1ULL << 48) - 1);
    __m512i faults = _mm512_setzero_si512();
    size_t i = 0;
    for (; n - i >= 64; i += 64) {
        const __m512i text = _mm512_loadu_si512(in + i);
        const __m512i values = _mm512_permutex2var_epi8(low, text, high);
        // The text's own highest bit, which the look-up passes over, is a fault too.
        faults = _mm512_ternarylogic_epi32(faults, text, values, 0xFE);
        const __m512i pairs = _mm512_maddubs_epi16(values, _mm512_set1_epi32(0x01400140));
        const __m512i groups = _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x00011000));
        _mm512_mask_storeu_epi8(out, part, _mm512_permutexvar_epi8(packed, groups));
        out += 48;
    }
    *wrong |= _cvtmask64_u64(_mm512_movepi8_mask(faults));
    return i;
}

#endif

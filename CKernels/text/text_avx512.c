#include "text_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,bmi,bmi2,popcnt")))

// The bytes of the last, partial vector; the others are not touched.
TARGET static inline __mmask64 lanes(size_t left) { return left < 64 ? (1ull << left) - 1 : ~0ull; }

TARGET size_t ck_line_ends_avx512(const uint8_t *text, size_t n, uint32_t *ends, size_t capacity, size_t *scanned) {
    const __m512i feed = _mm512_set1_epi8('\n');
    size_t count = 0, at = 0;
    for (; at < n && count + 64 <= capacity; at += 64) {
        const __mmask64 wanted = lanes(n - at);
        uint64_t mask = _mm512_mask_cmpeq_epi8_mask(wanted, _mm512_maskz_loadu_epi8(wanted, text + at), feed);
        for (; mask; mask &= mask - 1) ends[count++] = (uint32_t)at + (uint32_t)__builtin_ctzll(mask);
    }
    *scanned = at < n ? at : n;
    return count;
}

TARGET size_t ck_word_length_avx512(const uint8_t *text, size_t n) {
    for (size_t at = 0; at < n; at += 64) {
        const __mmask64 wanted = lanes(n - at);
        const __m512i piece = _mm512_maskz_loadu_epi8(wanted, text + at);
        const uint64_t mask = _mm512_mask_cmpeq_epi8_mask(wanted, piece, _mm512_set1_epi8(' ')) |
                              _mm512_mask_cmpeq_epi8_mask(wanted, piece, _mm512_set1_epi8('\t'));
        if (mask) return at + (size_t)__builtin_ctzll(mask);
    }
    return n;
}

TARGET bool ck_encode_bases_avx512(const uint8_t *letters, size_t n, bool reference, uint8_t *codes) {
    const uint8_t *table = ck_base_codes[reference];
    const __m512i low = _mm512_loadu_si512(table), high = _mm512_loadu_si512(table + 64);
    uint64_t refused = 0;
    for (size_t at = 0; at < n; at += 64) {
        const __mmask64 wanted = lanes(n - at);
        const __m512i piece = _mm512_maskz_loadu_epi8(wanted, letters + at);
        const __m512i code = _mm512_permutex2var_epi8(low, piece, high);
        refused |= _mm512_movepi8_mask(_mm512_or_si512(code, piece)) & wanted;
        _mm512_mask_storeu_epi8(codes + at, wanted, code);
    }
    return refused == 0;
}

TARGET uint8_t ck_encode_qualities_avx512(const uint8_t *text, size_t n, uint8_t offset, uint8_t *scores) {
    const __m512i base = _mm512_set1_epi8((char)offset);
    __m512i greatest = _mm512_setzero_si512();
    for (size_t at = 0; at < n; at += 64) {
        const __mmask64 wanted = lanes(n - at);
        const __m512i score = _mm512_sub_epi8(_mm512_maskz_loadu_epi8(wanted, text + at), base);
        greatest = _mm512_mask_max_epu8(greatest, wanted, greatest, score);
        _mm512_mask_storeu_epi8(scores + at, wanted, score);
    }
    const __m256i half = _mm256_max_epu8(_mm512_castsi512_si256(greatest), _mm512_extracti64x4_epi64(greatest, 1));
    const __m128i quarter = _mm_max_epu8(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    // The least of the complements is the complement of the greatest; pairs of bytes come first.
    const __m128i complement = _mm_xor_si128(quarter, _mm_set1_epi8(-1));
    const __m128i pairs = _mm_min_epu8(complement, _mm_srli_epi16(complement, 8));
    return (uint8_t)~_mm_extract_epi16(_mm_minpos_epu16(_mm_and_si128(pairs, _mm_set1_epi16(0xff))), 0);
}

#endif

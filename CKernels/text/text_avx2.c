#include "text_internal.h"

#if defined(__x86_64__)

#include "../cpu/ck_target.h"

#include <immintrin.h>

CK_AVX2_BEGIN

size_t ck_line_ends_avx2(const uint8_t *text, size_t n, uint32_t *ends, size_t capacity, size_t *scanned) {
    const __m256i feed = _mm256_set1_epi8('\n');
    size_t count = 0, at = 0;
    for (; at + 32 <= n && count + 32 <= capacity; at += 32) {
        const __m256i piece = _mm256_loadu_si256((const __m256i *)(text + at));
        uint32_t mask = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(piece, feed));
        for (; mask; mask &= mask - 1) ends[count++] = (uint32_t)at + (uint32_t)__builtin_ctz(mask);
    }
    for (; at < n && count < capacity; at++) {
        if (text[at] == '\n') ends[count++] = (uint32_t)at;
    }
    *scanned = at;
    return count;
}

size_t ck_word_length_avx2(const uint8_t *text, size_t n) {
    size_t at = 0;
    for (; at + 32 <= n; at += 32) {
        const __m256i piece = _mm256_loadu_si256((const __m256i *)(text + at));
        const __m256i found = _mm256_or_si256(
            _mm256_cmpeq_epi8(piece, _mm256_set1_epi8(' ')), _mm256_cmpeq_epi8(piece, _mm256_set1_epi8('\t')));
        const uint32_t mask = (uint32_t)_mm256_movemask_epi8(found);
        if (mask) return at + (size_t)__builtin_ctz(mask);
    }
    while (at < n && text[at] != ' ' && text[at] != '\t') at++;
    return at;
}

#define TEXT_NAME(name) name##_avx2
#include "text_body.h"

CK_AVX2_END

#endif

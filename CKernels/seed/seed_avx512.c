// 16 places at a time. Sequences with N and seeds of more than 29 bases go to the variant below.
#if defined(__x86_64__)

#include <immintrin.h>

#include "seed_internal.h"

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,bmi,bmi2,popcnt")))

#define FRONT 2  // words before the first, so that what is read before a sequence lies inside the array
#define STRING_WORDS (CK_SEED_CHUNK / 32 + 8)

// Packs codes to two bits a base, the first base lowest. False when there is an N.
AVX512 static int pack_codes(const uint8_t *codes, size_t count, uint64_t *string) {
    __m512i any = _mm512_setzero_si512();
    for (size_t i = 0; i < count; i += 64) {
        __mmask64 valid = count - i >= 64 ? ~0ull : (1ull << (count - i)) - 1;
        __m512i bytes = _mm512_maskz_loadu_epi8(valid, codes + i);
        any = _mm512_or_si512(any, bytes);
        __m512i pairs = _mm512_maddubs_epi16(bytes, _mm512_set1_epi16(0x0401));
        __m512i fours = _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x00100001));
        _mm_storeu_si128((__m128i *)(string + i / 32), _mm512_cvtepi32_epi8(fours));
    }
    return _mm512_test_epi8_mask(any, _mm512_set1_epi8(4)) == 0;
}

static inline uint64_t bits_at(const uint64_t *string, size_t bit) {
    const uint64_t *word = string + bit / 64;
    return word[0] >> (bit & 63) | word[1] << 1 << (63 - (bit & 63));
}

AVX512 static inline __m512i sixteen_words(uint64_t bits, __m512i shifts_low, __m512i shifts_high) {
    __m512i all = _mm512_set1_epi64((long long)bits);
    __m256i low = _mm512_cvtepi64_epi32(_mm512_srlv_epi64(all, shifts_low));
    __m256i high = _mm512_cvtepi64_epi32(_mm512_srlv_epi64(all, shifts_high));
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

AVX512 size_t ck_find_seeds_avx512(
    const uint8_t *codes, size_t count, ck_seed_shape shape, uint64_t *keys, uint32_t *offsets) {
    size_t length = ck_seed_length(shape), window = shape.window;
    if (count < length) return 0;
    uint64_t forward[STRING_WORDS], backward[STRING_WORDS];
    uint32_t order[CK_SEED_CHUNK + 64];
    if (length > 29 || !pack_codes(codes, count, forward)) {
        return ck_find_seeds_avx2(codes, count, shape, keys, offsets);
    }
    size_t string_words = (count + 31) / 32, padding = 32 * string_words - count;
    for (size_t i = 0; i < FRONT; i++) backward[i] = 0;
    for (size_t i = 0; i < string_words; i++) backward[FRONT + i] = complement_back(forward[string_words - 1 - i]);
    for (size_t i = 0; i < 4; i++) forward[string_words + i] = backward[FRONT + string_words + i] = 0;

    const __m512i up_low = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i up_high = _mm512_add_epi64(up_low, _mm512_set1_epi64(16));
    const __m512i down_low = _mm512_sub_epi64(_mm512_set1_epi64(30), up_low);
    const __m512i down_high = _mm512_sub_epi64(_mm512_set1_epi64(30), up_high);
    size_t words = count - 15, windows = words - window + 1, middle = window / 2, extension = shape.extension;
    for (size_t i = 0; i < words; i += 16) {
        uint64_t plain;
        memcpy(&plain, (const char *)forward + i / 4, 8);
        // The 16-mer at i + 15 reads backward from here; those before it lie two bits further on each.
        uint64_t complement = bits_at(backward, 64 * FRONT + 2 * (count + padding - i) - 62);
        __m512i word = _mm512_min_epu32(
            sixteen_words(plain, up_low, up_high), sixteen_words(complement, down_low, down_high));
        word = _mm512_xor_si512(word, _mm512_srli_epi32(word, 16));
        word = _mm512_mullo_epi32(word, _mm512_set1_epi32(0x7feb352d));
        word = _mm512_xor_si512(word, _mm512_srli_epi32(word, 15));
        word = _mm512_mullo_epi32(word, _mm512_set1_epi32((int)0x846ca68bu));
        word = _mm512_xor_si512(word, _mm512_srli_epi32(word, 16));
        _mm512_storeu_si512(order + i, word);
    }
    size_t found = 0;
    const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    // Windows from `extension` on, of which as many bases follow.
    size_t last = windows > extension ? windows - extension : 0;
    for (size_t i = extension; i < last; i += 16) {
        __m512i rest = _mm512_set1_epi32(-1);
        for (size_t other = 0; other < window; other++) {
            if (other != middle) rest = _mm512_min_epu32(rest, _mm512_loadu_si512(order + i + other));
        }
        __mmask16 chosen = _mm512_cmplt_epu32_mask(_mm512_loadu_si512(order + i + middle), rest);
        if (last - i < 16) chosen &= (__mmask16)((1u << (last - i)) - 1);
        __m512i starts = _mm512_add_epi32(lanes, _mm512_set1_epi32((int)(i - extension)));
        _mm512_storeu_si512(offsets + found, _mm512_maskz_compress_epi32(chosen, starts));
        found += (size_t)__builtin_popcount(chosen);
    }
    size_t kept = 0;
    uint64_t mask = ~0ull >> (64 - 2 * length);
    for (size_t i = 0; i < found; i++) {
        uint32_t start = offsets[i];
        uint64_t plain, complement;
        size_t back = 64 * FRONT + 2 * (count + padding - start - length);
        memcpy(&plain, (const char *)forward + start / 4, 8);
        memcpy(&complement, (const char *)backward + back / 8, 8);
        plain = plain >> (2 * (start & 3)) & mask;
        complement = complement >> (back & 7) & mask;
        offsets[kept] = start;
        keys[kept] = seed_key(plain, complement);
        kept += plain != complement;
    }
    return kept;
}

#endif

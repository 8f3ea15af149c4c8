// A plane of 32 or 64 bases is one move-mask or test of the bit in question.
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "pack_internal.h"

#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw")))

AVX2 void ck_pack_planes_avx2(const uint8_t *codes, size_t count, uint64_t *planes) {
    for (size_t i = 0; i < count; i += 64, planes += 3) {
        uint8_t last[64];
        const uint8_t *block = codes + i;
        if (count - i < 64) {
            memset(last, 4, sizeof last);
            memcpy(last, block, count - i);
            block = last;
        }
        __m256i low = _mm256_loadu_si256((const __m256i *)block);
        __m256i high = _mm256_loadu_si256((const __m256i *)(block + 32));
        for (int plane = 0; plane < 3; plane++) {
            uint32_t first = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(low, 7 - plane));
            uint32_t second = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(high, 7 - plane));
            planes[plane] = first | (uint64_t)second << 32;
        }
    }
}

AVX512 void ck_pack_planes_avx512(const uint8_t *codes, size_t count, uint64_t *planes) {
    for (size_t i = 0; i < count; i += 64, planes += 3) {
        __mmask64 valid = count - i >= 64 ? ~0ull : (1ull << (count - i)) - 1;
        __m512i block = _mm512_mask_loadu_epi8(_mm512_set1_epi8(4), valid, codes + i);
        planes[0] = _mm512_test_epi8_mask(block, _mm512_set1_epi8(1));
        planes[1] = _mm512_test_epi8_mask(block, _mm512_set1_epi8(2));
        planes[2] = _mm512_test_epi8_mask(block, _mm512_set1_epi8(4));
    }
}

AVX2 static inline __m256i back_to_front(__m256i bytes) {
    const __m256i within = _mm256_broadcastsi128_si256(
        _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(bytes, within), 0x4E);
}

AVX2 void ck_reverse_complement_avx2(const uint8_t *codes, size_t count, uint8_t *out) {
    const __m256i complement = _mm256_broadcastsi128_si256(
        _mm_set_epi8(4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 0, 1, 2, 3));
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(codes + count - i - 32));
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_shuffle_epi8(complement, back_to_front(bytes)));
    }
    ck_reverse_complement_portable(codes, count - i, out + i);
}

AVX2 void ck_reverse_bytes_avx2(const uint8_t *values, size_t count, uint8_t *out) {
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(values + count - i - 32));
        _mm256_storeu_si256((__m256i *)(out + i), back_to_front(bytes));
    }
    ck_reverse_bytes_portable(values, count - i, out + i);
}

#endif

// Blocks of 32; what is left goes to the reference.
#if defined(__x86_64__)

#include <immintrin.h>

#include "basequal_internal.h"

#define AVX2 __attribute__((target("avx2")))

// Packs one block; every lane of the result's second part is all ones where the form fits.
AVX2 static inline __m256i pack(__m256i codes, __m256i qualities, __m256i *fits) {
    const __m256i is_n = _mm256_cmpgt_epi8(codes, _mm256_set1_epi8(3));
    const __m256i most = _mm256_blendv_epi8(_mm256_set1_epi8(62), _mm256_set1_epi8(3), is_n);
    *fits = _mm256_and_si256(*fits, _mm256_cmpeq_epi8(_mm256_max_epu8(qualities, most), most));
    // Where the form fits, the shift of 16-bit lanes carries no bit into the byte above that the mask leaves.
    const __m256i shifted = _mm256_and_si256(_mm256_slli_epi16(qualities, 2), _mm256_set1_epi8((char)0xFC));
    const __m256i known = _mm256_or_si256(shifted, codes);
    return _mm256_blendv_epi8(known, _mm256_or_si256(qualities, _mm256_set1_epi8((char)0xFC)), is_n);
}

AVX2 bool ck_pack_basequal_avx2(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out) {
    __m256i fits = _mm256_set1_epi8(-1);
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        const __m256i code = _mm256_loadu_si256((const __m256i *)(codes + i));
        const __m256i quality = _mm256_loadu_si256((const __m256i *)(qualities + i));
        _mm256_storeu_si256((__m256i *)(out + i), pack(code, quality, &fits));
    }
    const bool rest = ck_pack_basequal_portable(codes + i, qualities + i, count - i, out + i);
    return rest && _mm256_movemask_epi8(fits) == -1;
}

AVX2 static inline __m256i back_to_front(__m256i bytes) {
    const __m256i within = _mm256_broadcastsi128_si256(
        _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(bytes, within), 0x4E);
}

AVX2 bool ck_pack_basequal_reverse_avx2(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out) {
    const __m256i complement = _mm256_broadcastsi128_si256(
        _mm_set_epi8(4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 0, 1, 2, 3));
    __m256i fits = _mm256_set1_epi8(-1);
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        const size_t from = count - i - 32;
        const __m256i code = back_to_front(_mm256_loadu_si256((const __m256i *)(codes + from)));
        const __m256i quality = back_to_front(_mm256_loadu_si256((const __m256i *)(qualities + from)));
        const __m256i packed = pack(_mm256_shuffle_epi8(complement, code), quality, &fits);
        _mm256_storeu_si256((__m256i *)(out + i), packed);
    }
    const bool rest = ck_pack_basequal_reverse_portable(codes, qualities, count - i, out + i);
    return rest && _mm256_movemask_epi8(fits) == -1;
}

AVX2 void ck_unpack_basequal_avx2(const uint8_t *packed, size_t count, uint8_t *codes, uint8_t *qualities) {
    const __m256i n_form = _mm256_set1_epi8((char)252);
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        const __m256i bytes = _mm256_loadu_si256((const __m256i *)(packed + i));
        const __m256i is_n = _mm256_cmpeq_epi8(_mm256_max_epu8(bytes, n_form), bytes);
        const __m256i low = _mm256_and_si256(bytes, _mm256_set1_epi8(3));
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 2), _mm256_set1_epi8(63));
        _mm256_storeu_si256((__m256i *)(codes + i), _mm256_blendv_epi8(low, _mm256_set1_epi8(4), is_n));
        _mm256_storeu_si256((__m256i *)(qualities + i), _mm256_blendv_epi8(high, low, is_n));
    }
    ck_unpack_basequal_portable(packed + i, count - i, codes + i, qualities + i);
}

#endif

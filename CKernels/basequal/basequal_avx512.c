// Blocks of 64, the last one under a mask.
#if defined(__x86_64__)

#include <immintrin.h>

#include "basequal_internal.h"

#define AVX512 __attribute__((target("avx512f,avx512bw")))

AVX512 static inline __mmask64 valid(size_t left) { return left >= 64 ? ~0ull : (1ull << left) - 1; }

// Packs one block; bits of `misfits` are set where there is no form.
AVX512 static inline __m512i pack(__m512i codes, __m512i qualities, __mmask64 *misfits) {
    const __mmask64 is_n = _mm512_cmpgt_epu8_mask(codes, _mm512_set1_epi8(3));
    const __m512i most = _mm512_mask_mov_epi8(_mm512_set1_epi8(62), is_n, _mm512_set1_epi8(3));
    *misfits |= _mm512_cmpgt_epu8_mask(qualities, most);
    const __m512i shifted = _mm512_and_si512(_mm512_slli_epi16(qualities, 2), _mm512_set1_epi8((char)0xFC));
    const __m512i known = _mm512_or_si512(shifted, codes);
    return _mm512_mask_mov_epi8(known, is_n, _mm512_or_si512(qualities, _mm512_set1_epi8((char)0xFC)));
}

AVX512 bool ck_pack_basequal_avx512(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out) {
    __mmask64 misfits = 0;
    for (size_t i = 0; i < count; i += 64) {
        const __mmask64 here = valid(count - i);
        const __m512i code = _mm512_maskz_loadu_epi8(here, codes + i);
        const __m512i quality = _mm512_maskz_loadu_epi8(here, qualities + i);
        _mm512_mask_storeu_epi8(out + i, here, pack(code, quality, &misfits));
    }
    return misfits == 0;
}

AVX512 static inline __m512i back_to_front(__m512i bytes) {
    const __m512i within = _mm512_broadcast_i32x4(
        _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m512i turned = _mm512_shuffle_epi8(bytes, within);
    return _mm512_shuffle_i64x2(turned, turned, 0x1B);
}

AVX512 bool ck_pack_basequal_reverse_avx512(
    const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out) {
    const __m512i complement = _mm512_broadcast_i32x4(
        _mm_set_epi8(4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 0, 1, 2, 3));
    __mmask64 misfits = 0;
    for (size_t i = 0; i < count; i += 64) {
        const size_t left = count - i;
        const __mmask64 here = valid(left);
        // A short last block stands at the end of its register, so that it is at the front when turned round.
        const size_t shift = left < 64 ? 64 - left : 0;
        const uint8_t *code_end = codes + left, *quality_end = qualities + left;
        const __m512i code = _mm512_maskz_loadu_epi8(here << shift, (const void *)((uintptr_t)code_end - 64));
        const __m512i quality = _mm512_maskz_loadu_epi8(here << shift, (const void *)((uintptr_t)quality_end - 64));
        const __m512i turned = _mm512_shuffle_epi8(complement, back_to_front(code));
        // Lanes past the end hold the complement of nothing and quality 0, which fit.
        _mm512_mask_storeu_epi8(out + i, here, pack(turned, back_to_front(quality), &misfits));
    }
    return misfits == 0;
}

AVX512 void ck_unpack_basequal_avx512(const uint8_t *packed, size_t count, uint8_t *codes, uint8_t *qualities) {
    for (size_t i = 0; i < count; i += 64) {
        const __mmask64 here = valid(count - i);
        const __m512i bytes = _mm512_maskz_loadu_epi8(here, packed + i);
        const __mmask64 is_n = _mm512_cmpge_epu8_mask(bytes, _mm512_set1_epi8((char)252));
        const __m512i low = _mm512_and_si512(bytes, _mm512_set1_epi8(3));
        const __m512i high = _mm512_and_si512(_mm512_srli_epi16(bytes, 2), _mm512_set1_epi8(63));
        _mm512_mask_storeu_epi8(codes + i, here, _mm512_mask_mov_epi8(low, is_n, _mm512_set1_epi8(4)));
        _mm512_mask_storeu_epi8(qualities + i, here, _mm512_mask_mov_epi8(high, is_n, low));
    }
}

#endif

#include "repeats_internal.h"

#if defined(__x86_64__)

#include "../cpu/ck_target.h"

#include <immintrin.h>

CK_AVX512_BEGIN

static inline uint64_t likeness(const uint8_t *here, size_t period) {
    const __m512i own = _mm512_loadu_si512(here);
    const __m512i other = _mm512_loadu_si512(here - period);
    const __mmask64 known = _mm512_cmplt_epu8_mask(own, _mm512_set1_epi8(4));
    return _mm512_mask_cmpeq_epu8_mask(known, own, other);
}

#define REPEATS_NAME(name) name##_avx512
#include "repeats_body.h"

CK_AVX512_END

#endif

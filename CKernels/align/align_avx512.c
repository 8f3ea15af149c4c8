// The reference again, for AVX-512 with population counts.
#if defined(__x86_64__)

#include "align_internal.h"

#include "../cpu/ck_target.h"

CK_AVX512_BEGIN
#define CK_VARIANT(name) name##_avx512
#include "align_body.h"
CK_AVX512_END

#endif

// The reference again, for AVX2.
#if defined(__x86_64__)

#include "align_internal.h"

#include "../cpu/ck_target.h"

CK_AVX2_BEGIN
#define CK_VARIANT(name) name##_avx2
#include "align_body.h"
CK_AVX2_END

#endif

// The reference again, for AVX2.
#if defined(__x86_64__)

#include "seed_internal.h"

#include "../cpu/ck_target.h"

CK_AVX2_BEGIN
#define CK_VARIANT(name) name##_avx2
#include "seed_body.h"
CK_AVX2_END

#endif

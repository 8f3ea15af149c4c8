// The reference again, for AVX2.
#if defined(__x86_64__)

#include "shares_internal.h"

#define CK_VARIANT(name) name##_avx2
#define TARGET __attribute__((target("avx2")))
#define INTERLEAVE 2
#include "shares_body.h"

#endif

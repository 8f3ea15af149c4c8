// The reference again, for AVX-512.
#if defined(__x86_64__)

#include "shares_internal.h"

#define CK_VARIANT(name) name##_avx512
#if defined(__clang__)
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"), min_vector_width(512)))
#else
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")))
#endif
#define INTERLEAVE 2
#include "shares_body.h"

#endif

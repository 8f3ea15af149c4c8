// The pair HMM with AVX-512: 16 reads per vector.
#if defined(__x86_64__)

#include "pairhmm_internal.h"

#define NAME ck_pairhmm_avx512
#define LANES 16
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#include "pairhmm_body.h"

#endif

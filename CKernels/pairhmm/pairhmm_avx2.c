// The pair HMM with AVX2: 8 reads per vector.
#if defined(__x86_64__)

#include "pairhmm_internal.h"

#define NAME ck_pairhmm_avx2
#define LANES 8
#define TARGET __attribute__((target("avx2")))
#include "pairhmm_body.h"

#endif

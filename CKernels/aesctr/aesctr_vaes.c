// VAES on AVX-512: four blocks in a register.
#include "aesctr_internal.h"

#if defined(__x86_64__)
#include "../memory/memory.h"

#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("aes,vaes,avx512f,avx512bw,avx512vl,avx512dq")))
#define VARIANT(name) name##_vaes
#define LANES 4
#define vector __m512i
#define LOAD(p) _mm512_loadu_si512(p)
#define STORE(p, x) _mm512_storeu_si512(p, x)
#define XOR _mm512_xor_si512
#define ADD64 _mm512_add_epi64
#define ENC _mm512_aesenc_epi128
#define ENCLAST _mm512_aesenclast_epi128
#define REVERSE(x) \
    _mm512_shuffle_epi8( \
        x, _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)))
#define BROADCAST _mm512_broadcast_i32x4
#include "aesctr_body.h"
#endif

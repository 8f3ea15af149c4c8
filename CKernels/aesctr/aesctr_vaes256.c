// VAES without AVX-512: two blocks in a register.
#include "aesctr_internal.h"

#if defined(__x86_64__)
#include "../memory/memory.h"

#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("aes,vaes,avx2")))
#define VARIANT(name) name##_vaes256
#define LANES 2
#define vector __m256i
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, x) _mm256_storeu_si256((__m256i *)(p), x)
#define XOR _mm256_xor_si256
#define ADD64 _mm256_add_epi64
#define ENC _mm256_aesenc_epi128
#define ENCLAST _mm256_aesenclast_epi128
#define REVERSE(x) \
    _mm256_shuffle_epi8( \
        x, _mm256_broadcastsi128_si256(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)))
#define BROADCAST _mm256_broadcastsi128_si256
#include "aesctr_body.h"
#endif

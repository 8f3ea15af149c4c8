// AES-NI: one block in a register.
#include "aesctr_internal.h"

#if defined(__x86_64__)
#include "../memory/memory.h"

#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("aes,ssse3")))
#define VARIANT(name) name##_aesni
#define LANES 1
#define vector __m128i
#define LOAD(p) _mm_loadu_si128((const __m128i *)(p))
#define STORE(p, x) _mm_storeu_si128((__m128i *)(p), x)
#define XOR _mm_xor_si128
#define ADD64 _mm_add_epi64
#define ENC _mm_aesenc_si128
#define ENCLAST _mm_aesenclast_si128
#define REVERSE(x) _mm_shuffle_epi8(x, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#define BROADCAST(x) (x)
#include "aesctr_body.h"
#endif

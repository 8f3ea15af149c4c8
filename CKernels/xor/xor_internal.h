// The variants behind xor.h. Not part of the public header.
#ifndef CK_XOR_INTERNAL_H
#define CK_XOR_INTERNAL_H

#include "xor.h"

#include <stdint.h>

void ck_xor_portable(uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n);
#if defined(__x86_64__)
void ck_xor_avx2(uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n);
void ck_xor_avx512(uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n);
void ck_xor_stream(uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n);
#elif defined(__aarch64__)
void ck_xor_neon(uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n);
#endif

#endif

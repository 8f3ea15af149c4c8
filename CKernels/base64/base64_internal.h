// The variants behind base64.h, by what each can take: the rest is the portable one's.
#ifndef CK_BASE64_INTERNAL_H
#define CK_BASE64_INTERNAL_H

#include "base64.h"

void ck_base64_encode_portable(uint8_t *out, const uint8_t *in, size_t n);
ptrdiff_t ck_base64_decode_portable(uint8_t *out, const uint8_t *in, size_t n);

#if defined(__x86_64__)
// Encodes a multiple of 48 bytes, the most that n holds; returns how many.
size_t ck_base64_encode_avx512(uint8_t *out, const uint8_t *in, size_t n);

// Decodes a multiple of 64 characters of n, none of which is padding; returns how many. `wrong` becomes non-zero when
// one is not of the alphabet.
size_t ck_base64_decode_avx512(uint8_t *out, const uint8_t *in, size_t n, uint64_t *wrong);
#endif

#endif

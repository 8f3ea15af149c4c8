// Base64 of RFC 4648, section 4, for key in transit: no branch and no table look-up depends on the bytes.
#ifndef CK_BASE64_H
#define CK_BASE64_H

#include <stddef.h>
#include <stdint.h>

// Characters of n bytes, with padding.
static inline size_t ck_base64_length(size_t n) { return (n + 2) / 3 * 4; }

// Writes ck_base64_length(n) characters. The buffers do not overlap.
void ck_base64_encode(uint8_t *out, const uint8_t *in, size_t n);

// Decodes n characters, n a multiple of 4, with padding, into at most n / 4 * 3 bytes. Returns the number of bytes, or
// -1 when a character is not of the alphabet, padding stands anywhere but at the end, or bits that padding leaves over
// are not zero; `out` is undefined then. Which of it was wrong takes the same time. `out` may lie in the same memory
// where it does not begin behind `in`.
ptrdiff_t ck_base64_decode(uint8_t *out, const uint8_t *in, size_t n);

#endif

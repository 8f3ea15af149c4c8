// XOR of byte strings at memory speed.
#ifndef CK_XOR_H
#define CK_XOR_H

#include <stddef.h>
#include <stdint.h>

// out = a XOR b over n bytes. Any alignment. `out` may be the same pointer as `a` or `b`, otherwise no overlap.
void ck_xor(void *out, const void *a, const void *b, size_t n);

// dst = dst XOR src over n bytes.
void ck_xor_into(void *dst, const void *src, size_t n);

#endif

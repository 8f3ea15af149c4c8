// The block functions behind gf128.h. Values are in POLYVAL form (RFC 8452, appendix A): a block with its bytes
// reversed is a little-endian polynomial modulo x^128 + x^127 + x^126 + x^121 + 1, products carry a factor x^-128, and
// the key is multiplied by x once, which makes the results equal GHASH's after reversing again.
#ifndef CK_GF128_INTERNAL_H
#define CK_GF128_INTERNAL_H

#include "gf128.h"

// out = a b x^-128
void ck_gf128_multiply_portable(uint64_t out[2], const uint64_t a[2], const uint64_t b[2]);
void ck_gf128_blocks_portable(ck_gf128 *state, const uint8_t *message, size_t blocks);

#if defined(__x86_64__)
void ck_gf128_powers_pclmul(ck_gf128 *state);
void ck_gf128_blocks_pclmul(ck_gf128 *state, const uint8_t *message, size_t blocks);
void ck_gf128_blocks_vpclmul(ck_gf128 *state, const uint8_t *message, size_t blocks);
void ck_gf128_seal_vpclmul(ck_gf128 *state, uint8_t *out, const uint8_t *data, const uint8_t *pad, size_t blocks);
// gcc would save products on the stack, which say what lay under the pad.
#if defined(__clang__)
#define CK_GF128_OPENS_WIDE
void ck_gf128_open_vpclmul(ck_gf128 *state, uint8_t *text, const uint8_t *pad, size_t blocks);
#endif
#elif defined(__aarch64__)
void ck_gf128_powers_neon(ck_gf128 *state);
void ck_gf128_blocks_neon(ck_gf128 *state, const uint8_t *message, size_t blocks);
#endif

#endif

// AES-256 in counter mode (FIPS 197, SP 800-38A): the expansion of K2 to K3 in the paper's Figure 5.
//
// Every variant is free of secret-dependent branches, table look-ups and multiplications.
#ifndef CK_AESCTR_H
#define CK_AESCTR_H

#include <stddef.h>
#include <stdint.h>

#define CK_AES256_ROUNDS 14

// A key schedule: secret, to be wiped by its owner after use.
typedef struct {
    uint8_t round_keys[CK_AES256_ROUNDS + 1][16];
} ck_aes256;

void ck_aes256_init(ck_aes256 *schedule, const uint8_t key[32]);

// The key stream's block i is the encryption of (counter + i), a 128-bit big-endian number. 'counter' is advanced by
// the blocks used, a last partial block counting whole. n may be any length; buffers need no alignment and are the same
// or do not overlap.

// out[i] = key stream: K3 from K2.
void ck_aes256_ctr_expand(const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, size_t n);

// out[i] = a[i] ^ key stream: K4 = K1 + K3.
void ck_aes256_ctr_xor(const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, size_t n);

// out[i] = a[i] ^ b[i] ^ key stream: ciphertext = data + K1 + K3, no byte read twice.
void ck_aes256_ctr_xor2(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n);

// Variants by name, for tests and benchmarks. A null 'a' or 'b' leaves that operand out.
typedef void (*ck_aes256_ctr_fn)(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n);

void ck_aes256_ctr_portable(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n);

// "vaes", "vaes256", "aesni", "neon" or "portable"; null when this processor (or the cap) does not have it.
ck_aes256_ctr_fn ck_aes256_ctr_variant(const char *name);

#endif

// The variants, for the dispatch.
#ifndef CK_AESCTR_INTERNAL_H
#define CK_AESCTR_INTERNAL_H

#include "aesctr.h"

#if defined(__x86_64__)
void ck_aes256_ctr_aesni(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n);
void ck_aes256_ctr_vaes256(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n);
void ck_aes256_ctr_vaes(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n);
#elif defined(__aarch64__)
void ck_aes256_ctr_neon(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n);
#endif

#endif

// The variants behind shares.h. Not part of the public header.
#ifndef CK_SHARES_INTERNAL_H
#define CK_SHARES_INTERNAL_H

#include "shares.h"

#include <stdint.h>

void ck_share_split_portable(uint8_t *a, uint8_t *b, const uint8_t *s, const uint8_t *r, size_t half);
void ck_share_join_ab_portable(uint8_t *s, const uint8_t *a, const uint8_t *b, size_t half);
void ck_share_join_ac_portable(uint8_t *s, const uint8_t *a, const uint8_t *c, size_t half);
void ck_share_join_bc_portable(uint8_t *s, const uint8_t *b, const uint8_t *c, size_t half);
uint8_t ck_share_syndrome_portable(const uint8_t *a, const uint8_t *b, const uint8_t *c, size_t half);
void ck_share_refresh_portable(uint8_t *x, uint8_t *y, const uint8_t *own, const uint8_t *other, size_t half);
#if defined(__x86_64__)
void ck_share_split_avx2(uint8_t *a, uint8_t *b, const uint8_t *s, const uint8_t *r, size_t half);
void ck_share_join_ab_avx2(uint8_t *s, const uint8_t *a, const uint8_t *b, size_t half);
void ck_share_join_ac_avx2(uint8_t *s, const uint8_t *a, const uint8_t *c, size_t half);
void ck_share_join_bc_avx2(uint8_t *s, const uint8_t *b, const uint8_t *c, size_t half);
uint8_t ck_share_syndrome_avx2(const uint8_t *a, const uint8_t *b, const uint8_t *c, size_t half);
void ck_share_refresh_avx2(uint8_t *x, uint8_t *y, const uint8_t *own, const uint8_t *other, size_t half);
void ck_share_split_avx512(uint8_t *a, uint8_t *b, const uint8_t *s, const uint8_t *r, size_t half);
void ck_share_join_ab_avx512(uint8_t *s, const uint8_t *a, const uint8_t *b, size_t half);
void ck_share_join_ac_avx512(uint8_t *s, const uint8_t *a, const uint8_t *c, size_t half);
void ck_share_join_bc_avx512(uint8_t *s, const uint8_t *b, const uint8_t *c, size_t half);
uint8_t ck_share_syndrome_avx512(const uint8_t *a, const uint8_t *b, const uint8_t *c, size_t half);
void ck_share_refresh_avx512(uint8_t *x, uint8_t *y, const uint8_t *own, const uint8_t *other, size_t half);
void ck_share_split_stream(uint8_t *a, uint8_t *b, const uint8_t *s, const uint8_t *r, size_t half);
void ck_share_join_ab_stream(uint8_t *s, const uint8_t *a, const uint8_t *b, size_t half);
void ck_share_join_ac_stream(uint8_t *s, const uint8_t *a, const uint8_t *c, size_t half);
void ck_share_join_bc_stream(uint8_t *s, const uint8_t *b, const uint8_t *c, size_t half);
#elif defined(__aarch64__)
void ck_share_split_neon(uint8_t *a, uint8_t *b, const uint8_t *s, const uint8_t *r, size_t half);
void ck_share_join_ab_neon(uint8_t *s, const uint8_t *a, const uint8_t *b, size_t half);
void ck_share_join_ac_neon(uint8_t *s, const uint8_t *a, const uint8_t *c, size_t half);
void ck_share_join_bc_neon(uint8_t *s, const uint8_t *b, const uint8_t *c, size_t half);
uint8_t ck_share_syndrome_neon(const uint8_t *a, const uint8_t *b, const uint8_t *c, size_t half);
void ck_share_refresh_neon(uint8_t *x, uint8_t *y, const uint8_t *own, const uint8_t *other, size_t half);
#endif

#endif

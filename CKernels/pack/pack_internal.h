// The variants behind pack.h. Not part of the public header.
#ifndef CK_PACK_INTERNAL_H
#define CK_PACK_INTERNAL_H

#include "pack.h"

void ck_pack_planes_portable(const uint8_t *codes, size_t count, uint64_t *planes);
void ck_reverse_complement_portable(const uint8_t *codes, size_t count, uint8_t *out);
void ck_reverse_bytes_portable(const uint8_t *values, size_t count, uint8_t *out);
#if defined(__x86_64__)
void ck_pack_planes_avx2(const uint8_t *codes, size_t count, uint64_t *planes);
void ck_reverse_complement_avx2(const uint8_t *codes, size_t count, uint8_t *out);
void ck_reverse_bytes_avx2(const uint8_t *values, size_t count, uint8_t *out);
void ck_pack_planes_avx512(const uint8_t *codes, size_t count, uint64_t *planes);
#endif

#endif

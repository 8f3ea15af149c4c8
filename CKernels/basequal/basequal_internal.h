// The variants behind basequal.h. Not part of the public header.
#ifndef CK_BASEQUAL_INTERNAL_H
#define CK_BASEQUAL_INTERNAL_H

#include "basequal.h"

bool ck_pack_basequal_portable(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out);
bool ck_pack_basequal_reverse_portable(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out);
void ck_unpack_basequal_portable(const uint8_t *packed, size_t count, uint8_t *codes, uint8_t *qualities);
#if defined(__x86_64__)
bool ck_pack_basequal_avx2(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out);
bool ck_pack_basequal_reverse_avx2(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out);
void ck_unpack_basequal_avx2(const uint8_t *packed, size_t count, uint8_t *codes, uint8_t *qualities);
bool ck_pack_basequal_avx512(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out);
bool ck_pack_basequal_reverse_avx512(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out);
void ck_unpack_basequal_avx512(const uint8_t *packed, size_t count, uint8_t *codes, uint8_t *qualities);
#endif

#endif

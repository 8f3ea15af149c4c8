// The variants behind text.h. Not part of the public header.
#ifndef CK_TEXT_INTERNAL_H
#define CK_TEXT_INTERNAL_H

#include "text.h"

// Codes of the letters that ck_encode_bases takes, 0x80 for what it refuses; the second table is for references.
extern const uint8_t ck_base_codes[2][128];

#define CK_TEXT_VARIANT(name) \
    size_t ck_line_ends_##name(const uint8_t *text, size_t n, uint32_t *ends, size_t capacity, size_t *scanned); \
    size_t ck_word_length_##name(const uint8_t *text, size_t n); \
    bool ck_encode_bases_##name(const uint8_t *letters, size_t n, bool reference, uint8_t *codes); \
    uint8_t ck_encode_qualities_##name(const uint8_t *text, size_t n, uint8_t offset, uint8_t *scores);

CK_TEXT_VARIANT(portable)
#if defined(__x86_64__)
CK_TEXT_VARIANT(avx2)
CK_TEXT_VARIANT(avx512)
#endif

#endif

// The variants behind repeats.h. Not part of the public header.
#ifndef CK_REPEATS_INTERNAL_H
#define CK_REPEATS_INTERNAL_H

#include "repeats.h"

size_t ck_find_repeats_portable(const uint8_t *codes, size_t count, size_t period, size_t least, ck_run *runs);
#if defined(__x86_64__)
size_t ck_find_repeats_avx2(const uint8_t *codes, size_t count, size_t period, size_t least, ck_run *runs);
size_t ck_find_repeats_avx512(const uint8_t *codes, size_t count, size_t period, size_t least, ck_run *runs);
#endif

#endif

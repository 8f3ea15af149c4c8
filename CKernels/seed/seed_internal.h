// The variants behind ck_find_seeds. Not part of the public header.
#ifndef CK_SEED_INTERNAL_H
#define CK_SEED_INTERNAL_H

#include "seed.h"

#include <string.h>

size_t ck_find_seeds_portable(
    const uint8_t *codes, size_t count, ck_seed_shape shape, uint64_t *keys, uint32_t *offsets);
#if defined(__x86_64__)
size_t ck_find_seeds_avx2(
    const uint8_t *codes, size_t count, ck_seed_shape shape, uint64_t *keys, uint32_t *offsets);
#endif

#endif

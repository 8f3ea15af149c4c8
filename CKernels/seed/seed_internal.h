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
size_t ck_find_seeds_avx512(
    const uint8_t *codes, size_t count, ck_seed_shape shape, uint64_t *keys, uint32_t *offsets);
#endif

// The order among 16-mers. Two bits a base, the first base lowest.
static inline uint32_t mix_word(uint32_t word) {
    word ^= word >> 16;
    word *= 0x7feb352du;
    word ^= word >> 15;
    word *= 0x846ca68bu;
    return word ^ word >> 16;
}

// The 32 bases of a word back to front, complemented.
static inline uint64_t complement_back(uint64_t word) {
    word = __builtin_bswap64(word);
    word = (word >> 4 & 0x0F0F0F0F0F0F0F0Full) | (word & 0x0F0F0F0F0F0F0F0Full) << 4;
    word = (word >> 2 & 0x3333333333333333ull) | (word & 0x3333333333333333ull) << 2;
    return ~word;
}

// The key of a seed and its reverse complement, each two bits a base, the first base lowest.
static inline uint64_t seed_key(uint64_t plain, uint64_t complement) {
    uint64_t strand = complement < plain, key = strand ? complement : plain;
    key ^= key >> 31;
    key *= 0x9e3779b97f4a7c15ull;
    key ^= key >> 29;
    key *= 0xbf58476d1ce4e5b9ull;
    key ^= key >> 32;
    return (key & ~1ull) | strand;
}

#endif

// Sequences as bit planes: three 64-bit words for every 64 bases (low bit of the base code, high bit, "is N").
//
// In this form the bases that differ between two sequences at any offset are two shifts, two XORs and an OR away, one
// result bit per base. Codes are 0..3 for A, C, G, T and 4 for anything else, which equals nothing, itself included.
#ifndef CK_PACK_H
#define CK_PACK_H

#include <stddef.h>
#include <stdint.h>

// Words that `bases` bases need. The bases past the end of the last block are N.
static inline size_t ck_plane_words(size_t bases) { return (bases + 63) / 64 * 3; }

// Packs `count` codes; writes ck_plane_words(count) words.
void ck_pack_planes(const uint8_t *codes, size_t count, uint64_t *planes);

// Writes the codes of `count` bases from base `start` on.
void ck_unpack_planes(const uint64_t *planes, uint64_t start, size_t count, uint8_t *codes);

// Reverse complement of `count` codes; `out` must not overlap `codes`.
void ck_reverse_complement(const uint8_t *codes, size_t count, uint8_t *out);

// Quality bytes back to front; `out` must not overlap `values`.
void ck_reverse_bytes(const uint8_t *values, size_t count, uint8_t *out);

// Sum of the qualities that are at least `least`.
uint32_t ck_sum_qualities(const uint8_t *values, size_t count, uint8_t least);

// Asks for the cache lines of `count` bytes.
static inline void ck_prefetch_bytes(const void *bytes, size_t count) {
    const char *from = (const char *)bytes;
    for (size_t i = 0; i < count; i += 64) __builtin_prefetch(from + i);
}

#endif

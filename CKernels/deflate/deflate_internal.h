// What the search for matches and the Huffman coder of deflate.h share. Not part of the public header.
#ifndef CK_DEFLATE_INTERNAL_H
#define CK_DEFLATE_INTERNAL_H

#include "deflate.h"

enum {
    CK_LITLEN_SYMBOLS = 286,
    CK_DIST_SYMBOLS = 30,
    CK_END_OF_BLOCK = 256,
    // Four literal codes and up to seven waiting bits fit into 64 bits.
    CK_LITLEN_BITS = 14,
    CK_DIST_BITS = 15,
    CK_MIN_MATCH = 4,
    CK_MAX_MATCH = 258,
    CK_MAX_DISTANCE = 32768,
    CK_MAX_SEQUENCES = CK_DEFLATE_MAX_INPUT / CK_MIN_MATCH + 2,
    CK_LONG_BITS = 13,
    CK_SHORT_BITS = 13,
    CK_LONG_WAYS = 4,
};

// `literals` bytes as they are, then `length` bytes from `distance` back; the last sequence of a block has length 0.
typedef struct {
    uint16_t literals;
    uint16_t length;
    uint16_t distance;  // 32768 fits
} ck_sequence;

typedef struct {
    // The last four positions with one hash of eight bytes, the latest lowest; the last with one hash of four bytes.
    uint64_t long_table[1 << CK_LONG_BITS];
    uint16_t short_table[1 << CK_SHORT_BITS];
    ck_sequence sequences[CK_MAX_SEQUENCES];
    uint32_t litlen_count[CK_LITLEN_SYMBOLS];
    uint32_t dist_count[CK_DIST_SYMBOLS];
    // Estimated price in sixteenths of a bit: of a literal, of a match length, of a distance symbol with its bits.
    uint16_t literal_price[256];
    uint16_t length_price[CK_MAX_MATCH + 1];
    uint16_t dist_price[CK_DIST_SYMBOLS];
} ck_deflate_scratch;

// Codes of one alphabet: the bits in the order in which deflate sends them, and how many.
typedef struct {
    uint16_t bits[CK_LITLEN_SYMBOLS];
    uint8_t size[CK_LITLEN_SYMBOLS];
} ck_code;

// Fills `sequences`, `litlen_count` (without end of block) and `dist_count`; returns the number of sequences.
size_t ck_deflate_search(ck_deflate_scratch *s, const uint8_t *in, size_t n);

// Writes the sequences as one block with codes of its own, or returns 0 when it does not become smaller than n + 5.
size_t ck_deflate_encode(ck_deflate_scratch *s, size_t sequences, uint8_t *out, const uint8_t *in, size_t n);

// Length symbol (0 is code 257) of a match length, and distance symbol of a distance, with base and extra bits of each.
extern const uint8_t ck_length_symbol[CK_MAX_MATCH + 1];
extern const uint16_t ck_length_base[29];
extern const uint8_t ck_length_extra[29];

static inline unsigned ck_dist_symbol(unsigned distance) {
    unsigned d = distance - 1;
    if (d < 4) return d;
    unsigned top = 31u - (unsigned)__builtin_clz(d);
    return 2 * top + ((d >> (top - 1)) & 1);
}

static inline unsigned ck_dist_extra(unsigned symbol) { return symbol < 4 ? 0 : symbol / 2 - 1; }

static inline unsigned ck_dist_base(unsigned symbol) {
    return symbol < 4 ? symbol + 1 : ((2u + (symbol & 1)) << (symbol / 2 - 1)) + 1;
}

static inline uint64_t ck_load64(const uint8_t *p) {
    uint64_t v;
    __builtin_memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

#endif

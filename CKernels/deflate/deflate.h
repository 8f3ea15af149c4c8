// Deflate (RFC 1951) of blocks of up to 65,535 bytes: BGZF's fast level (CKernels/README.md has speed and sizes).
//
// A block is scanned once. Two tables of earlier positions, by the next eight and the next four bytes, and the distance
// of the last match give the candidates; a short match is taken when the bits that its bytes would cost as literals,
// estimated from the block so far, are more than its own. All of the block is coded by one pair of Huffman codes, or
// stored as it is when that is smaller. The output is a function of the input alone: no variant, no state between
// blocks.
#ifndef CK_DEFLATE_H
#define CK_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

// The most bytes that one call takes.
#define CK_DEFLATE_MAX_INPUT 65535

// Bytes that the output of n bytes never passes, and the room that ck_deflate needs behind `out`.
#define CK_DEFLATE_BOUND(n) ((n) + 5)
#define CK_DEFLATE_ROOM(n) ((n) + 16)

// Bytes of working memory, aligned to 64. One block at a time; its content before a call does not matter.
size_t ck_deflate_scratch_bytes(void);

// Writes the n <= 65535 bytes of `in` to `out` as a whole raw deflate stream and returns its size.
size_t ck_deflate(void *scratch, uint8_t *out, const uint8_t *in, size_t n);

#endif

// What FASTQ and FASTA are parsed with: line ends, ends of names, letters to base codes, qualities to scores.
#ifndef CK_TEXT_H
#define CK_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The least room that ck_line_ends takes.
enum { CK_LINE_ENDS_LEAST = 64 };

// Writes where the line feeds of n bytes (less than 2^32) stand, in order, and returns their number. It stops early
// when the room for `capacity` of them, at least CK_LINE_ENDS_LEAST, is nearly full; `scanned` says how far it came.
size_t ck_line_ends(const uint8_t *text, size_t n, uint32_t *ends, size_t capacity, size_t *scanned);

// Bytes before the first blank or tab; n when there is none.
size_t ck_word_length(const uint8_t *text, size_t n);

// Codes of n letters: 0 to 3 for A, C, G and T (U), 4 for N, '.' and the other letters of IUPAC, in either case. With
// `reference`, 'X', '*' and '-' are 4 too. False when there is any other byte; `codes` then holds nothing of use.
bool ck_encode_bases(const uint8_t *letters, size_t n, bool reference, uint8_t *codes);

// scores[i] = text[i] - offset modulo 256; returns the greatest. Characters below the offset so come out above 93.
uint8_t ck_encode_qualities(const uint8_t *text, size_t n, uint8_t offset, uint8_t *scores);

#endif

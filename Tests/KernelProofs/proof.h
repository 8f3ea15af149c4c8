// What every proof uses: random inputs, buffers between guard pages, checks that are counted, and digests of the
// reference's results, which must be the same on every processor.
#ifndef PROOF_H
#define PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// SplitMix64, begun anew for every kernel: the inputs are the same on every processor and under every cap. At most one
// draw in an expression, because compilers choose the order.
uint64_t random_word(void);
size_t random_below(size_t bound);
void random_fill(void *p, size_t n);

// Each of the SLOTS buffers ends at most 63 bytes before an inaccessible page and begins after another.
enum { SLOTS = 8, ROOM = 1 << 17 };
#define FLUSH (-1)  // ends at the guard page, whatever the alignment

// n bytes in a slot, at an address that is `alignment` (0 to 63, or FLUSH) modulo 64; the bytes around them, up to 64
// on each side, get a pattern, and so do they.
uint8_t *place(int slot, size_t n, int alignment);

// A random alignment; FLUSH one time in five.
int any_alignment(void);

// True while the pattern around a slot's bytes is whole.
bool untouched(int slot);

// Names what is under test, for the report of a failure or of a touched guard page.
void under_test(const char *variant, size_t n);

// Counts one check.
void check(bool passed, const char *what);

// Adds results of the reference to the kernel's digest.
void digest(const void *p, size_t n);

// Decodes hexadecimal; returns the number of bytes.
size_t unhex(const char *text, uint8_t *out);
bool equals_hex(const void *p, const char *text);

// A variant whose features the cap allows is tested, any other is named as left out.
bool available(const char *variant, uint32_t features);

void prove_aesctr(void);
void prove_align(void);
void prove_cpu(void);
void prove_deflate(void);
void prove_gf128(void);
void prove_health(void);
void prove_memory(void);
void prove_base64(void);
void prove_basequal(void);
void prove_pack(void);
void prove_pairhmm(void);
void prove_process(void);
void prove_rdseed(void);
void prove_repeats(void);
void prove_seed(void);
void prove_shares(void);
void prove_stack(void);
void prove_text(void);
void prove_xor(void);

#endif

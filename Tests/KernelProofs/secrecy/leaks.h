// Functions that leak on purpose: a proof that does not find them proves nothing.
#ifndef LEAKS_H
#define LEAKS_H

#include <stddef.h>
#include <stdint.h>

// Stops at the first difference.
int leaky_equal(const uint8_t *x, const uint8_t *y, size_t n);

// Looks each byte up in a table.
void leaky_substitute(uint8_t *x, size_t n);

// x = x y in GF(2^128), skipping the zero bits of x.
void leaky_multiply(uint8_t x[16], const uint8_t y[16]);

#endif

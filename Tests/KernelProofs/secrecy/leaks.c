#include "leaks.h"

#include <string.h>

int leaky_equal(const uint8_t *x, const uint8_t *y, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (x[i] != y[i]) return 0;
    }
    return 1;
}

void leaky_substitute(uint8_t *x, size_t n) {
    static volatile uint8_t table[256];
    for (int i = 0; i < 256; i++) table[i] = (uint8_t)(i * 7 + 99);
    for (size_t i = 0; i < n; i++) x[i] = table[x[i]];
}

void leaky_multiply(uint8_t x[16], const uint8_t y[16]) {
    uint64_t v[2], z[2] = {0, 0};
    memcpy(v, y, 16);
    for (int bit = 0; bit < 128; bit++) {
        if (x[bit / 8] >> bit % 8 & 1) {
            z[0] ^= v[0];
            z[1] ^= v[1];
            // Keeps the compiler from making the branch a mask.
            __asm__ volatile("" : "+r"(z[0]), "+r"(z[1]));
        }
        const uint64_t carry = v[1] >> 63;
        v[1] = v[1] << 1 | v[0] >> 63;
        v[0] = v[0] << 1 ^ (0 - carry & 0x87);
    }
    memcpy(x, z, 16);
}

// The continuous health tests of NIST SP 800-90B, 4.4, on 8-bit samples, at the speed of the sources they watch.
#ifndef CK_HEALTH_H
#define CK_HEALTH_H

#include <stddef.h>
#include <stdint.h>

enum { CK_HEALTH_WINDOW = 512 };

// Zero at the start.
typedef struct {
    uint32_t run;      // how often `last` has come in a row, 0 before the first sample
    uint32_t position; // in the window
    uint32_t matches;  // samples of the window equal to its first
    uint8_t last;
    uint8_t first;
} ck_health;

// Adds n samples; cutoffs from 1. Returns 0, or the length of the run when it reaches `repetition`, or minus the number
// of matches when a window has `proportion` of them; the state is then of no further use.
int ck_health_add(ck_health *state, const void *samples, size_t n, uint32_t repetition, uint32_t proportion);

#endif

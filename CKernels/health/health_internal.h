// The variants behind health.h. Not part of the public header.
#ifndef CK_HEALTH_INTERNAL_H
#define CK_HEALTH_INTERNAL_H

#include "health.h"

// ck_health_add, sample by sample where it has to be.
int ck_health_portable(ck_health *state, const uint8_t *x, size_t n, uint32_t repetition, uint32_t proportion);

// The smallest repetition cutoff that the variants below can serve.
enum { CK_HEALTH_LEAST_REPETITION = 6 };

// ck_health_add of whole windows: the state stands at the start of a window, and x[-1] is the sample before.
#if defined(__x86_64__)
int ck_health_windows_avx2(
    ck_health *state, const uint8_t *x, size_t windows, uint32_t repetition, uint32_t proportion);
int ck_health_windows_avx512(
    ck_health *state, const uint8_t *x, size_t windows, uint32_t repetition, uint32_t proportion);
#endif

#endif

// What the variants of the pair HMM share. Not part of the public header.
#ifndef CK_PAIRHMM_INTERNAL_H
#define CK_PAIRHMM_INTERNAL_H

#include "pairhmm.h"

// A product and a sum that are rounded once in one variant and twice in another would be two results.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

#define CK_PAIRHMM_MAX_QUALITY 60
#define CK_PAIRHMM_SCALE 0x1p120f

// Fills match[i] and mismatch[i] of one base: probability of the read base given an equal or an unequal haplotype base.
void ck_pairhmm_emission(uint8_t base, uint8_t quality, float *match, float *mismatch);

// Turns the scaled float sum into log10.
double ck_pairhmm_finish(float sum, const ck_pairhmm_read *read, const ck_pairhmm_haplotype *haplotype);

typedef void ck_pairhmm_variant(const ck_pairhmm_read *reads, size_t count, const ck_pairhmm_haplotype *haplotype,
                                float gap_extend, void *scratch, double *log10_likelihood);
ck_pairhmm_variant ck_pairhmm_scalar;
#if defined(__x86_64__)
ck_pairhmm_variant ck_pairhmm_avx2;
ck_pairhmm_variant ck_pairhmm_avx512;
#endif

#endif

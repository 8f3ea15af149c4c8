// Pair hidden Markov model: how likely is a read, given that it was sequenced from a haplotype (Durbin et al. 1998,
// section 4.2; the three-state form of GATK's HaplotypeCaller). The read may start and end anywhere on the haplotype.
//
// States: M (read base on haplotype base), I (read base inserted behind haplotype base j), D (haplotype base j
// skipped).   M[i][j] = e(i,j) * ((1 - 2 open[j-1]) * M[i-1][j-1] + (1 - extend) * (I[i-1][j-1] + D[i-1][j-1]))
//   I[i][j] = 1/4 * (open[j] * M[i-1][j] + extend * I[i-1][j])
//   D[i][j] = open[j-1] * M[i][j-1] + extend * D[i][j-1],   D[0][j] = 1 / haplotype length
//   likelihood = sum over j of M[L][j] + I[L][j]
// e is 1 - p for equal bases and p / 3 for unequal ones, p = 10^(-q/10), at most 3/4: qualities 0 and 1 say nothing. A
// base code above 3 in the read or in the haplotype gives 1/4.
//
// The sums run in float, scaled by 2^120, with denormals flushed to zero. Below CK_PAIRHMM_LEAST a sum has lost terms
// to underflow, and the read is foreign to the haplotype: every such likelihood is given as CK_PAIRHMM_LEAST. No
// variant contracts multiply and add, and all of them add in the same order: the results are equal to the bit on every
// processor with IEEE arithmetic.
#ifndef CK_PAIRHMM_H
#define CK_PAIRHMM_H

#include <stddef.h>
#include <stdint.h>

// log10 of the least likelihood that is told from others.
#define CK_PAIRHMM_LEAST -56.0

typedef struct {
    const uint8_t *bases;      // 0 to 3, above: unknown
    const uint8_t *qualities;  // Phred, used up to 60
    uint32_t length;
} ck_pairhmm_read;

typedef struct {
    const uint8_t *bases;    // 0 to 3, above: unknown
    const float *gap_open;   // probability per base that a gap opens there, below 1/2
    uint32_t length;
} ck_pairhmm_haplotype;

// Bytes of scratch that a call with reads up to this length needs.
size_t ck_pairhmm_scratch_size(uint32_t longest_read);

// Writes log10 of the likelihood of each read. Neighbouring reads share a vector: order them by length. An empty read
// has likelihood 1, a read on an empty haplotype 0 (minus infinity). `scratch` is aligned to 64 bytes.
void ck_pairhmm(const ck_pairhmm_read *reads, size_t count, const ck_pairhmm_haplotype *haplotype, float gap_extend,
                void *scratch, double *log10_likelihood);

// The scalar reference, with the same result.
void ck_pairhmm_portable(const ck_pairhmm_read *reads, size_t count, const ck_pairhmm_haplotype *haplotype,
                         float gap_extend, void *scratch, double *log10_likelihood);

#endif

// Scalar reference of the pair HMM.
#include <math.h>

#include "pairhmm_internal.h"

// 10^(-q/10), at most 3/4, so that a base of quality 0 or 1 is equally likely on every haplotype base.
static const float error_of_quality[CK_PAIRHMM_MAX_QUALITY + 1] = {
    0.75f,          0.75f,          0.630957344f,   0.501187234f,   0.398107171f,   0.316227766f,   0.251188643f,
    0.199526231f,   0.158489319f,   0.125892541f,   0.1f,           0.0794328235f,  0.0630957344f,  0.0501187234f,
    0.0398107171f,  0.0316227766f,  0.0251188643f,  0.0199526231f,  0.0158489319f,  0.0125892541f,  0.01f,
    0.00794328235f, 0.00630957344f, 0.00501187234f, 0.00398107171f, 0.00316227766f, 0.00251188643f, 0.00199526231f,
    0.00158489319f, 0.00125892541f, 0.001f,         7.94328235e-4f, 6.30957344e-4f, 5.01187234e-4f, 3.98107171e-4f,
    3.16227766e-4f, 2.51188643e-4f, 1.99526231e-4f, 1.58489319e-4f, 1.25892541e-4f, 1e-4f,          7.94328235e-5f,
    6.30957344e-5f, 5.01187234e-5f, 3.98107171e-5f, 3.16227766e-5f, 2.51188643e-5f, 1.99526231e-5f, 1.58489319e-5f,
    1.25892541e-5f, 1e-5f,          7.94328235e-6f, 6.30957344e-6f, 5.01187234e-6f, 3.98107171e-6f, 3.16227766e-6f,
    2.51188643e-6f, 1.99526231e-6f, 1.58489319e-6f, 1.25892541e-6f, 1e-6f,
};

void ck_pairhmm_emission(uint8_t base, uint8_t quality, float *match, float *mismatch) {
    if (base > 3) {
        *match = *mismatch = 0.25f;
        return;
    }
    float error = error_of_quality[quality > CK_PAIRHMM_MAX_QUALITY ? CK_PAIRHMM_MAX_QUALITY : quality];
    *match = 1.0f - error;
    *mismatch = error / 3.0f;
}

size_t ck_pairhmm_scratch_size(uint32_t longest_read) { return ((size_t)longest_read + 1) * 6 * 64; }

double ck_pairhmm_finish(float sum, const ck_pairhmm_read *read, const ck_pairhmm_haplotype *haplotype) {
    if (read->length == 0) return 0;
    if (haplotype->length == 0) return -INFINITY;
    const double likelihood = log10((double)sum) - log10((double)CK_PAIRHMM_SCALE);
    return likelihood > CK_PAIRHMM_LEAST ? likelihood : CK_PAIRHMM_LEAST;
}

static float float_likelihood(const ck_pairhmm_read *read, const ck_pairhmm_haplotype *haplotype, float gap_extend,
                              float *scratch) {
    size_t length = read->length;
    float *m = scratch, *ins = m + length + 1, *del = ins + length + 1;
    float *match = del + length + 1, *mismatch = match + length + 1;
    float initial = CK_PAIRHMM_SCALE / (float)haplotype->length, leave = 1.0f - gap_extend, sum = 0;
    for (size_t i = 0; i <= length; i++) m[i] = ins[i] = del[i] = 0;
    for (size_t i = 1; i <= length; i++) {
        ck_pairhmm_emission(read->bases[i - 1], read->qualities[i - 1], &match[i], &mismatch[i]);
    }
    for (size_t j = 0; j < haplotype->length; j++) {
        float open = haplotype->gap_open[j];
        float open_before = j > 0 ? haplotype->gap_open[j - 1] : 0.0f;
        float stay_before = 1.0f - 2.0f * open_before;
        float diagonal_m = 0, diagonal_gap = initial;
        uint8_t letter = haplotype->bases[j];
        for (size_t i = 1; i <= length; i++) {
            float emission = letter > 3 ? 0.25f : (read->bases[i - 1] == letter ? match[i] : mismatch[i]);
            float next_m = emission * (stay_before * diagonal_m + leave * diagonal_gap);
            float next_del = open_before * m[i] + gap_extend * del[i];
            diagonal_m = m[i];
            diagonal_gap = ins[i] + del[i];
            m[i] = next_m;
            del[i] = next_del;
            ins[i] = 0.25f * (open * m[i - 1] + gap_extend * ins[i - 1]);
        }
        sum += m[length] + ins[length];
    }
    return sum;
}

void ck_pairhmm_scalar(const ck_pairhmm_read *reads, size_t count, const ck_pairhmm_haplotype *haplotype,
                       float gap_extend, void *scratch, double *log10_likelihood) {
    for (size_t r = 0; r < count; r++) {
        float sum = 0;
        if (reads[r].length > 0 && haplotype->length > 0) {
            sum = float_likelihood(&reads[r], haplotype, gap_extend, scratch);
        }
        log10_likelihood[r] = ck_pairhmm_finish(sum, &reads[r], haplotype);
    }
}

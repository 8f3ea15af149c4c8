// Body of the vector variants: LANES reads at a time against one haplotype, one read per lane, column by column. Every
// lane does the operations of the scalar reference in the same order. Included with NAME, LANES and TARGET defined.
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define VECTOR JOIN(NAME, _floats)
#define MASK JOIN(NAME, _ints)

typedef float VECTOR __attribute__((vector_size(LANES * 4)));
typedef int32_t MASK __attribute__((vector_size(LANES * 4)));

TARGET static void JOIN(NAME, _group)(const ck_pairhmm_read *reads, size_t count, size_t longest,
                                      const ck_pairhmm_haplotype *haplotype, float gap_extend, VECTOR *scratch,
                                      float *sums) {
    VECTOR *m = scratch, *ins = m + longest + 1, *del = ins + longest + 1;
    VECTOR *match = del + longest + 1, *mismatch = match + longest + 1;
    MASK *bases = (MASK *)(mismatch + longest + 1);
    const VECTOR zero = {0};
    for (size_t i = 0; i <= longest; i++) {
        m[i] = ins[i] = del[i] = match[i] = mismatch[i] = zero;
        bases[i] = (MASK){0};
    }
    for (size_t lane = 0; lane < count; lane++) {
        for (size_t i = 1; i <= reads[lane].length; i++) {
            uint8_t base = reads[lane].bases[i - 1];
            float equal, unequal;
            ck_pairhmm_emission(base, reads[lane].qualities[i - 1], &equal, &unequal);
            ((float *)&match[i])[lane] = equal;
            ((float *)&mismatch[i])[lane] = unequal;
            ((int32_t *)&bases[i])[lane] = base;
        }
        sums[lane] = 0;
    }
    float initial = CK_PAIRHMM_SCALE / (float)haplotype->length;
    const VECTOR leave = zero + (1.0f - gap_extend), extend = zero + gap_extend, quarter = zero + 0.25f;
    for (size_t j = 0; j < haplotype->length; j++) {
        float open_scalar = haplotype->gap_open[j], before_scalar = j > 0 ? haplotype->gap_open[j - 1] : 0.0f;
        const VECTOR open = zero + open_scalar, open_before = zero + before_scalar;
        const VECTOR stay_before = zero + (1.0f - 2.0f * before_scalar);
        VECTOR diagonal_m = zero, diagonal_gap = zero + initial, above_m = zero, above_ins = zero;
        int32_t letter = haplotype->bases[j];
        const MASK letters = (MASK){0} + letter;
        for (size_t i = 1; i <= longest; i++) {
            MASK equal = bases[i] == letters;
            VECTOR emission =
                letter > 3 ? quarter : (VECTOR)(((MASK)match[i] & equal) | ((MASK)mismatch[i] & ~equal));
            VECTOR next_m = emission * (stay_before * diagonal_m + leave * diagonal_gap);
            VECTOR next_del = open_before * m[i] + extend * del[i];
            VECTOR next_ins = quarter * (open * above_m + extend * above_ins);
            diagonal_m = m[i];
            diagonal_gap = ins[i] + del[i];
            m[i] = above_m = next_m;
            del[i] = next_del;
            ins[i] = above_ins = next_ins;
        }
        for (size_t lane = 0; lane < count; lane++) {
            size_t length = reads[lane].length;
            sums[lane] += ((const float *)&m[length])[lane] + ((const float *)&ins[length])[lane];
        }
    }
}

TARGET void NAME(const ck_pairhmm_read *reads, size_t count, const ck_pairhmm_haplotype *haplotype, float gap_extend,
                 void *scratch, double *log10_likelihood) {
    for (size_t first = 0; first < count; first += LANES) {
        size_t lanes = count - first < LANES ? count - first : LANES;
        size_t longest = 0;
        for (size_t lane = 0; lane < lanes; lane++) {
            if (reads[first + lane].length > longest) longest = reads[first + lane].length;
        }
        float sums[LANES] = {0};
        if (longest > 0 && haplotype->length > 0) {
            JOIN(NAME, _group)(reads + first, lanes, longest, haplotype, gap_extend, scratch, sums);
        }
        for (size_t lane = 0; lane < lanes; lane++) {
            log10_likelihood[first + lane] = ck_pairhmm_finish(sums[lane], &reads[first + lane], haplotype);
        }
    }
}

#undef MASK
#undef VECTOR
#undef JOIN
#undef JOIN_

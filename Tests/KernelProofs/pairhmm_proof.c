// The pair HMM against its recurrence, and every variant against the scalar one to the bit.
#include "proof.h"

#include <math.h>

#include "pairhmm/pairhmm_internal.h"

static const struct {
    const char *name;
    uint32_t features;
    ck_cpu_cap cap;
} variants[] = {
#if defined(__x86_64__)
    {"avx2", CK_CPU_AVX2, CK_CPU_CAP_AVX2},
    {"avx512", CK_CPU_AVX512, CK_CPU_CAP_AVX512},
#endif
    {"dispatch", 0, CK_CPU_CAP_PORTABLE},
};

enum { MOST_READS = 40, MOST_BASES = 300, MOST_HAPLOTYPE = 400 };

// The header's recurrence row by row in double; a row that is about to underflow is scaled up, and the scale kept apart.
static double by_definition(const ck_pairhmm_read *read, const ck_pairhmm_haplotype *haplotype, double extend) {
    static double m[2][MOST_HAPLOTYPE + 1], ins[2][MOST_HAPLOTYPE + 1], del[2][MOST_HAPLOTYPE + 1];
    if (read->length == 0) return 0;
    if (haplotype->length == 0) return -INFINITY;
    const size_t columns = haplotype->length;
    double exponent = 0;
    for (size_t j = 0; j <= columns; j++) {
        m[0][j] = ins[0][j] = 0;
        del[0][j] = 1.0 / (double)columns;
    }
    for (size_t i = 1; i <= read->length; i++) {
        const int now = i & 1, before = !now;
        const uint8_t quality = read->qualities[i - 1] > 60 ? 60 : read->qualities[i - 1];
        const double error = fmin(0.75, pow(10, -quality / 10.0));
        double largest = 0;
        m[now][0] = ins[now][0] = del[now][0] = 0;
        for (size_t j = 1; j <= columns; j++) {
            const uint8_t x = read->bases[i - 1], y = haplotype->bases[j - 1];
            const double e = x > 3 || y > 3 ? 0.25 : x == y ? 1 - error : error / 3;
            const double open = haplotype->gap_open[j - 1], open_before = j > 1 ? haplotype->gap_open[j - 2] : 0;
            m[now][j] = e * ((1 - 2 * open_before) * m[before][j - 1] +
                             (1 - extend) * (ins[before][j - 1] + del[before][j - 1]));
            ins[now][j] = 0.25 * (open * m[before][j] + extend * ins[before][j]);
            del[now][j] = open_before * m[now][j - 1] + extend * del[now][j - 1];
            largest = fmax(largest, fmax(m[now][j], fmax(ins[now][j], del[now][j])));
        }
        if (largest > 0x1p-300) continue;
        for (size_t j = 1; j <= columns; j++) {
            m[now][j] *= 0x1p300;
            ins[now][j] *= 0x1p300;
            del[now][j] *= 0x1p300;
        }
        exponent -= 300;
    }
    double sum = 0;
    for (size_t j = 1; j <= columns; j++) sum += m[read->length & 1][j] + ins[read->length & 1][j];
    return log10(sum) + exponent * log10(2);
}

static void group(size_t count, size_t longest, size_t columns) {
    enum { SCRATCH, RESULTS };
    static uint8_t bases[MOST_READS][MOST_BASES], qualities[MOST_READS][MOST_BASES], haplotype_bases[MOST_HAPLOTYPE];
    static float open[MOST_HAPLOTYPE];
    ck_pairhmm_read reads[MOST_READS];
    const float extend = random_below(2) ? 0.1f : 0.01f;
    for (size_t j = 0; j < columns; j++) {
        haplotype_bases[j] = (uint8_t)(random_below(50) == 0 ? 4 : random_below(4));
        const float scale = random_below(3) == 0 ? 4000.0f : 1000000.0f;
        open[j] = (float)random_below(1000) / scale;
    }
    const ck_pairhmm_haplotype haplotype = {haplotype_bases, open, (uint32_t)columns};
    size_t most = 0;
    for (size_t r = 0; r < count; r++) {
        const size_t length = random_below(20) == 0 ? 0 : random_below(longest + 1);
        const size_t from = random_below(columns + 1);
        const bool foreign = random_below(6) == 0;
        for (size_t i = 0; i < length; i++) {
            const bool copied = !foreign && from + i < columns && random_below(30) != 0;
            bases[r][i] = (uint8_t)(copied ? haplotype_bases[from + i] : random_below(5));
            qualities[r][i] = (uint8_t)(random_below(10) == 0 ? random_below(94) : 20 + random_below(20));
        }
        reads[r] = (ck_pairhmm_read){bases[r], qualities[r], (uint32_t)length};
        if (length > most) most = length;
    }
    void *scratch = place(SCRATCH, ck_pairhmm_scratch_size((uint32_t)most), 0);
    double reference[MOST_READS], *results = (double *)(void *)place(RESULTS, 8 * count, FLUSH);
    under_test("portable", count);
    ck_pairhmm_portable(reads, count, &haplotype, extend, scratch, reference);
    check(untouched(SCRATCH), "scratch");
    digest(reference, 8 * count);
    for (size_t r = 0; r < count; r++) {
        const double defined = by_definition(&reads[r], &haplotype, extend);
        const double expected = columns > 0 ? fmax(defined, CK_PAIRHMM_LEAST) : defined;
        check(expected == reference[r] || fabs(expected - reference[r]) < 1e-3, "close to the recurrence");
    }
    const ck_cpu_cap before = ck_cpu_get_cap();
    for (size_t v = 0; v < COUNT(variants); v++) {
        if (!available(variants[v].name, variants[v].features)) continue;
        under_test(variants[v].name, count);
        if (variants[v].features != 0) ck_cpu_set_cap(variants[v].cap);
        ck_pairhmm(reads, count, &haplotype, extend, scratch, results);
        ck_cpu_set_cap(before);
        check(memcmp(results, reference, 8 * count) == 0 && untouched(SCRATCH) && untouched(RESULTS),
              "equal to the bit");
    }
}

void prove_pairhmm(void) {
    available("portable", 0);
    for (size_t count = 0; count <= MOST_READS; count++) group(count, 60, 80);
    for (int i = 0; i < 60; i++) {
        const size_t count = 1 + random_below(MOST_READS), longest = 1 + random_below(MOST_BASES);
        group(count, longest, random_below(MOST_HAPLOTYPE + 1));
    }
    // Long foreign reads, whose likelihood is below the least that is told.
    for (int i = 0; i < 10; i++) group(17, MOST_BASES, 2 + random_below(20));
}

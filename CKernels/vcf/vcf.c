#include "vcf_internal.h"

#include <string.h>

#include "../cpu/ck_cpu.h"

size_t ck_vcf_scan(
    const uint8_t *text, size_t n, size_t columns, bool wants_end, ck_vcf_record *records, size_t capacity,
    size_t *scanned) {
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_AVX512)) {
        return ck_vcf_scan_avx512(text, n, columns, wants_end, records, capacity, scanned);
    }
    if (ck_cpu_has(CK_CPU_AVX2)) {
        return ck_vcf_scan_avx2(text, n, columns, wants_end, records, capacity, scanned);
    }
#endif
    return ck_vcf_scan_portable(text, n, columns, wants_end, records, capacity, scanned);
}

// The first value that is not below `wanted` (or above it, with `beyond`).
static size_t first_from(const int64_t *values, size_t n, int64_t wanted, bool beyond) {
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (values[middle] > wanted || (!beyond && values[middle] == wanted)) high = middle;
        else low = middle + 1;
    }
    return low;
}

// Moves a cursor over sorted values to the first that is not below `wanted` (or above it, with `beyond`). Steps for
// neighbours, halves for what is further.
static size_t advance(const int64_t *values, size_t n, size_t cursor, int64_t wanted, bool beyond) {
    for (int step = 0; step < 16; step++, cursor++) {
        if (cursor == n || values[cursor] > wanted || (!beyond && values[cursor] == wanted)) return cursor;
    }
    return cursor + first_from(values + cursor, n - cursor, wanted, beyond);
}

static bool is_sequence(const uint8_t *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if ((uint8_t)((text[i] | 32) - 'a') >= 26) return false;
    }
    return n > 0;
}

// Whether the first interval from `cursor` on that reaches to `first` begins at or before `last`.
static bool overlaps(
    const int64_t *starts, const int64_t *ends, size_t intervals, size_t cursor, int64_t first, int64_t last) {
    while (cursor < intervals && ends[cursor] <= first) cursor++;
    return cursor < intervals && starts[cursor] <= last;
}

// Where what an ALT allele changes begins, as bcftools has it: behind what REF shares with every ALT.
static int64_t shared_bases(const uint8_t *text, const ck_vcf_record *record) {
    const size_t ref = record->id_end + 1, ref_length = record->ref_end - ref;
    int64_t shared = (int64_t)record->last - record->position + 1;
    for (size_t at = record->ref_end + 1; at <= record->alt_end; at++) {
        size_t stop = at;
        while (stop < record->alt_end && text[stop] != ',') stop++;
        if (!(stop - at == 1 && text[at] == '.')) {
            size_t same = 0;
            while (same < ref_length && same < stop - at && text[ref + same] == text[at + same]) same++;
            if ((int64_t)same < shared) shared = (int64_t)same;
        }
        at = stop;
    }
    return shared;
}

// The verdict of CK_VCF_WITHIN for a record with one ALT allele of bases; others are asked for, but for those that no
// interval can hold.
static uint8_t within(
    const uint8_t *text, const ck_vcf_record *record, const int64_t *starts, const int64_t *ends, size_t intervals,
    size_t cursor) {
    const int64_t start = (int64_t)record->position - 1;
    const uint8_t *ref = text + record->id_end + 1, *alt = text + record->ref_end + 1;
    const size_t n = record->ref_end - record->id_end - 1, m = record->alt_end - record->ref_end - 1;
    const int64_t reach = record->last > start + (int64_t)n ? record->last : start + (int64_t)n;
    if (starts[cursor] > reach) return CK_VCF_WITHHOLD;
    if (!is_sequence(alt, m)) return CK_VCF_ASK;
    const size_t shorter = n < m ? n : m;
    size_t suffix = 0, prefix = 0;
    while (suffix < shorter && (ref[n - 1 - suffix] | 32) == (alt[m - 1 - suffix] | 32)) suffix++;
    while (prefix < shorter - suffix && (ref[prefix] | 32) == (alt[prefix] | 32)) prefix++;
    int64_t from = start + (int64_t)prefix, to = start + (int64_t)(n - suffix);
    if (from >= to) {
        if (m <= n) return CK_VCF_ASK;
        // An insertion needs the bases on both sides.
        to = from + 1;
        from = from > 0 ? from - 1 : 0;
    }
    while (cursor < intervals && ends[cursor] <= from) cursor++;
    return cursor < intervals && starts[cursor] <= from && to <= ends[cursor];
}

void ck_vcf_select_regions(
    const uint8_t *text, const ck_vcf_record *records, size_t n, const int64_t *starts, const int64_t *ends,
    size_t intervals, int rule, uint8_t *verdicts) {
    size_t cursor = 0;
    int64_t before = -1;
    for (size_t i = 0; i < n; i++) {
        const ck_vcf_record *record = records + i;
        const int64_t start = (int64_t)record->position - 1;
        // No rule looks further left than the base before POS.
        const int64_t leftmost = start > 0 ? start - 1 : 0;
        cursor = advance(ends, intervals, leftmost < before ? 0 : cursor, leftmost, true);
        before = leftmost;
        if (cursor == intervals) {
            verdicts[i] = CK_VCF_WITHHOLD;
            continue;
        }
        switch (rule) {
        case CK_VCF_BY_POSITION: verdicts[i] = overlaps(starts, ends, intervals, cursor, start, start); break;
        case CK_VCF_BY_RECORD:
            verdicts[i] = overlaps(starts, ends, intervals, cursor, start, (int64_t)record->last - 1);
            break;
        case CK_VCF_BY_VARIANT:
            verdicts[i] = overlaps(
                starts, ends, intervals, cursor, start + shared_bases(text, record), (int64_t)record->last - 1);
            break;
        default: verdicts[i] = within(text, record, starts, ends, intervals, cursor);
        }
    }
}

void ck_vcf_select_variants(
    const uint8_t *text, const ck_vcf_record *records, size_t n, const int64_t *positions, const int64_t *offsets,
    const int64_t *middles, const uint8_t *letters, size_t count, uint8_t *verdicts) {
    size_t cursor = 0;
    int64_t before = -1;
    for (size_t i = 0; i < n; i++) {
        const ck_vcf_record *record = records + i;
        const int64_t start = (int64_t)record->position - 1;
        cursor = advance(positions, count, start < before ? 0 : cursor, start, false);
        before = start;
        const size_t ref_length = record->ref_end - record->id_end - 1;
        // Trimming moves a variant to the right, never beyond REF.
        if (cursor == count || positions[cursor] > start + (int64_t)ref_length) {
            verdicts[i] = CK_VCF_WITHHOLD;
            continue;
        }
        verdicts[i] = CK_VCF_ASK;
        if (ref_length != 1 || record->alt_end - record->ref_end != 2) continue;
        const uint8_t ref = text[record->id_end + 1] & 0xdf, alt = text[record->ref_end + 1] & 0xdf;
        if (ref == alt || !is_sequence(text + record->ref_end + 1, 1)) continue;
        verdicts[i] = CK_VCF_WITHHOLD;
        for (size_t entry = cursor; entry < count && positions[entry] == start; entry++) {
            if (middles[entry] - offsets[entry] == 1 && offsets[entry + 1] - middles[entry] == 1 &&
                letters[offsets[entry]] == ref && letters[middles[entry]] == alt) {
                verdicts[i] = CK_VCF_PASS;
            }
        }
    }
}

// A GT value: one or two alleles of one digit. Returns where it ends, or NULL.
static const uint8_t *plain_genotype(const uint8_t *at, const uint8_t *stop, uint8_t alleles) {
    for (int copy = 0; copy < 2; copy++) {
        if (at == stop || !((uint8_t)(*at - '0') < alleles || *at == '.')) return NULL;
        at++;
        if (at == stop || *at == ':' || *at == '\t') return at;
        if (copy == 1 || (*at != '/' && *at != '|')) return NULL;
        at++;
    }
    return NULL;
}

static bool has_plain_genotypes(const uint8_t *text, const ck_vcf_record *record) {
    const uint8_t *at = text + record->info_end, *stop = text + record->end;
    if (stop - at < 3 || at[1] != 'G' || at[2] != 'T') return true;
    if (at + 3 < stop && at[3] != ':' && at[3] != '\t') return true;
    unsigned alleles = 1;
    const uint8_t *alt = text + record->ref_end + 1, *alt_end = text + record->alt_end;
    if (alt_end - alt != 1 || *alt != '.') {
        alleles = 2;
        for (; alt < alt_end; alt++) alleles += *alt == ',';
    }
    if (alleles > 10) alleles = 10;
    at = memchr(at + 3, '\t', (size_t)(stop - at - 3));
    while (at) {
        at = plain_genotype(at + 1, stop, (uint8_t)alleles);
        if (!at) return false;
        if (at < stop && *at == '\t') continue;
        at = at < stop ? memchr(at, '\t', (size_t)(stop - at)) : NULL;
    }
    return true;
}

size_t ck_vcf_check_genotypes(
    const uint8_t *text, const ck_vcf_record *records, const uint8_t *verdicts, size_t first, size_t n) {
    for (size_t i = first; i < n; i++) {
        if (verdicts[i] != CK_VCF_WITHHOLD && !has_plain_genotypes(text, records + i)) return i;
    }
    return n;
}

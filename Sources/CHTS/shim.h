#include <htslib/hts_log.h>
#include <htslib/kstring.h>
#include <htslib/vcf.h>
#include <stdint.h>
#include <string.h>

// Fields of htslib's structures that Swift cannot reach: bit fields, and arrays of arrays.

/// The number of entries of a dictionary (BCF_DT_ID, BCF_DT_CTG, BCF_DT_SAMPLE).
static inline int chts_entries(const bcf_hdr_t *header, int dictionary) { return header->n[dictionary]; }

/// Whether an entry of a dictionary is there: numbers may be left out.
static inline int chts_has_entry(const bcf_hdr_t *header, int dictionary, int entry) {
    return header->id[dictionary][entry].key != NULL;
}

/// Makes a record of the bytes of one in a file, which the caller has checked: its 24 bytes of fixed size, what all
/// samples share behind them, and the samples' part. 0, or -1 when there is no memory.
static inline int chts_load(
    bcf1_t *record, const void *fixed, const void *shared, size_t shared_count, const void *samples,
    size_t samples_count) {
    int32_t words[6];
    memcpy(words, fixed, sizeof words);
    bcf_clear(record);
    record->rid = words[0];
    record->pos = words[1];
    record->rlen = words[2];
    memcpy(&record->qual, &words[3], sizeof record->qual);
    record->n_info = (uint32_t)words[4] & 0xffff;
    record->n_allele = (uint32_t)words[4] >> 16;
    record->n_sample = (uint32_t)words[5] & 0xffffff;
    record->n_fmt = samples_count ? (uint32_t)words[5] >> 24 : 0;
    record->shared.l = record->indiv.l = 0;
    return kputsn((const char *)shared, shared_count, &record->shared) < 0
            || kputsn((const char *)samples, samples_count, &record->indiv) < 0
        ? -1 : 0;
}

/// Appends a record that was parsed from text as it lies in a file. 0, or -1 when there is no memory.
static inline int chts_store(const bcf1_t *record, kstring_t *out) {
    uint32_t words[8] = {
        (uint32_t)record->shared.l + 24, (uint32_t)record->indiv.l, (uint32_t)record->rid, (uint32_t)record->pos,
        (uint32_t)record->rlen, 0, (uint32_t)record->n_allele << 16 | record->n_info,
        (uint32_t)record->n_fmt << 24 | record->n_sample,
    };
    memcpy(&words[5], &record->qual, 4);
    return kputsn((const char *)words, sizeof words, out) < 0
            || kputsn(record->shared.s ? record->shared.s : "", record->shared.l, out) < 0
            || kputsn(record->indiv.s ? record->indiv.s : "", record->indiv.l, out) < 0
        ? -1 : 0;
}

// VCF text by vectors: where the lines and columns of records are, what of a record must be looked at again, and which
// records regions or variants name.
//
// Nothing here has the last word on what is odd: a record that is not plainly well-formed is marked, and callers read it
// with care. What is not marked is well-formed.
#ifndef CK_VCF_H
#define CK_VCF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CK_VCF_CHECK = 1,       // look at the line again: it is malformed, or only spelled in a rare way
    CK_VCF_SAME_CONTIG = 2, // CHROM is that of the record before in the same call
    CK_VCF_BACKWARDS = 4,   // ... and POS is smaller
    CK_VCF_CR = 8,          // the line ends with CR LF
    CK_VCF_END = 16         // `last` is INFO/END
};

// A record; offsets count from the beginning of the text. The columns' ends are where their tabs are. `info_end` is
// the line's end where there is no FORMAT.
typedef struct {
    uint32_t line, chrom_end, pos_end, id_end, ref_end, alt_end, qual_end, filter_end, info_end;
    uint32_t end;      // of the line, without CR and LF
    uint32_t position; // POS
    uint32_t last;     // the last base, 1-based: INFO/END where it is not before POS, else the end of REF
    uint32_t flags;
} ck_vcf_record;

// Splits whole lines (every one ends with LF; n below 2^32) into at most `capacity` records and returns their number;
// `scanned` is how many bytes they take. Of records with CK_VCF_CHECK only `line`, `end` and CK_VCF_CR count.
//
// Plainly well-formed: `columns` columns (8 or more), no NUL, POS of at most ten digits and from 1 to 2^31 - 1, REF of letters, ALT
// not empty, QUAL `.` or digits with at most one point behind the first.
size_t ck_vcf_scan(
    const uint8_t *text, size_t n, size_t columns, bool wants_end, ck_vcf_record *records, size_t capacity,
    size_t *scanned);

// Verdicts on records.
enum { CK_VCF_WITHHOLD = 0, CK_VCF_PASS = 1, CK_VCF_ASK = 2 };

enum { CK_VCF_BY_POSITION = 0, CK_VCF_BY_RECORD = 1, CK_VCF_BY_VARIANT = 2, CK_VCF_WITHIN = 3 };

// Verdicts on n records of one contig by sorted, disjoint, 0-based half-open intervals. Only CK_VCF_WITHIN asks.
// Records need no order, but are found faster in it.
void ck_vcf_select_regions(
    const uint8_t *text, const ck_vcf_record *records, size_t n, const int64_t *starts, const int64_t *ends,
    size_t intervals, int rule, uint8_t *verdicts);

// Verdicts on n records of one contig by `count` variants in normal form, sorted by 0-based position: REF is
// letters[offsets[i] .. middles[i]], ALT letters[middles[i] .. offsets[i + 1]], in upper case.
void ck_vcf_select_variants(
    const uint8_t *text, const ck_vcf_record *records, size_t n, const int64_t *positions, const int64_t *offsets,
    const int64_t *middles, const uint8_t *letters, size_t count, uint8_t *verdicts);

// The first record, from `first` on, whose verdict is not CK_VCF_WITHHOLD and whose GT values are not all plain: n when
// there is none. Plain is: no GT, or one or two allele numbers of one digit, each an allele of the record or `.`.
size_t ck_vcf_check_genotypes(
    const uint8_t *text, const ck_vcf_record *records, const uint8_t *verdicts, size_t first, size_t n);

#endif

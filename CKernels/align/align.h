// Scoring a read on the reference: match 1, mismatch -4, N -1, gap of g bases -(6 + g), clipped end -5.
//
// A read aligns from end to end unless leaving bases at an end out is better by more than the clip penalty (bwa mem's
// rule). Scores here are after penalties: a read of n bases that matches wholly scores n. Reference and read are bit
// planes (pack.h); a place counts bases from the start of the planes. Callers keep at least 1,024 N around every
// contig, so that a window that sticks out of a contig is harmless.
#ifndef CK_ALIGN_H
#define CK_ALIGN_H

#include <stddef.h>
#include <stdint.h>

#define CK_MAX_READ 500
#define CK_READ_WORDS 24   // plane words of the longest read
#define CK_MAX_LANES 256   // widest band
#define CK_MAX_CIGAR 64    // operations of one alignment

typedef struct {
    int32_t score;
    uint32_t start;        // place of the first aligned base
    uint32_t end;          // one past the last aligned base
    uint16_t clip_left, clip_right;
    uint16_t edits;        // mismatches (N included) plus gap bases
    uint16_t cigar_count;  // BAM operations, clips included; 0 when the kernel writes none
} ck_alignment;

// The read on one diagonal, without gaps; `start` is the place of its first base.
ck_alignment ck_score_diagonal(const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length);

#define CK_MAX_REACH 24

// The best alignment with exactly one gap, between the diagonal at `start` and one at most `reach` (up to CK_MAX_REACH)
// bases beside it, or one of the `more_count` shifts in `more`. The score is INT32_MIN when none scores more than
// `least`, the score without a gap. Writes a CIGAR of up to five operations, the gap leftmost. N counts as a mismatch here.
//
// Shifts within `reach` are tried where 32 bases next to the part that the main diagonal explains fit well.
ck_alignment ck_align_one_gap(
    const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length, int32_t least, uint32_t reach,
    const int32_t *more, uint32_t more_count, uint32_t *cigar);

// Bytes of scratch memory for ck_align_banded.
#define CK_ALIGN_SCRATCH ((size_t)CK_MAX_READ * CK_MAX_LANES + 4096)

// Best alignment with affine gaps on the `lanes` diagonals from `first` on (a multiple of 32, at most CK_MAX_LANES).
// `codes` are the read's base codes. Gaps are placed leftmost. Writes the CIGAR in BAM's packing (M, I, D, S).
// The score is INT32_MIN when nothing aligns or the CIGAR would be longer than CK_MAX_CIGAR.
ck_alignment ck_align_banded(
    const uint64_t *reference, uint32_t first, uint32_t lanes, const uint8_t *codes, uint32_t length, uint32_t *cigar,
    uint8_t *scratch);

#define CK_SCAN_RESULTS 4
#define CK_SCAN_LEAST_RUN 9
#define CK_SCAN_MOST_RUN 16

// Looks along `count` diagonals from `from` on for places where `run` bases (CK_SCAN_LEAST_RUN to CK_SCAN_MOST_RUN) in
// a row match within one word of the planes, and returns the best by ungapped score, best first (ties: leftmost).
// Returns how many (up to 4).
uint32_t ck_scan_diagonals(
    const uint64_t *reference, uint32_t from, uint32_t count, const uint64_t *read, uint32_t length, uint32_t run,
    uint32_t *starts, int32_t *scores);

// Asks for the reference lines of a read at `start`.
static inline void ck_prefetch_place(const uint64_t *reference, uint32_t start, uint32_t length) {
    const char *from = (const char *)(reference + (start >> 6) * 3);
    const char *to = (const char *)(reference + ((start + length) >> 6) * 3 + 2);
    for (; from <= to; from += 64) __builtin_prefetch(from);
    __builtin_prefetch(to);
}

#endif

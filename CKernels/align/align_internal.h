// The variants behind align.h. Not part of the public header.
#ifndef CK_ALIGN_INTERNAL_H
#define CK_ALIGN_INTERNAL_H

#include "align.h"

#include <string.h>

#include "../pack/pack.h"

ck_alignment ck_score_diagonal_portable(
    const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length);
ck_alignment ck_align_one_gap_portable(
    const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length, int32_t least, uint32_t reach,
    const int32_t *more, uint32_t more_count, uint32_t *cigar);
uint32_t ck_scan_diagonals_portable(
    const uint64_t *reference, uint32_t from, uint32_t count, const uint64_t *read, uint32_t length, uint32_t run,
    uint32_t *starts, int32_t *scores);
ck_alignment ck_align_banded_portable(
    const uint64_t *reference, uint32_t first, uint32_t lanes, const uint8_t *codes, uint32_t length, uint32_t *cigar,
    uint8_t *scratch);
#if defined(__x86_64__)
ck_alignment ck_score_diagonal_avx2(
    const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length);
ck_alignment ck_align_one_gap_avx2(
    const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length, int32_t least, uint32_t reach,
    const int32_t *more, uint32_t more_count, uint32_t *cigar);
uint32_t ck_scan_diagonals_avx2(
    const uint64_t *reference, uint32_t from, uint32_t count, const uint64_t *read, uint32_t length, uint32_t run,
    uint32_t *starts, int32_t *scores);
ck_alignment ck_align_banded_avx2(
    const uint64_t *reference, uint32_t first, uint32_t lanes, const uint8_t *codes, uint32_t length, uint32_t *cigar,
    uint8_t *scratch);
ck_alignment ck_score_diagonal_avx512(
    const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length);
ck_alignment ck_align_one_gap_avx512(
    const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length, int32_t least, uint32_t reach,
    const int32_t *more, uint32_t more_count, uint32_t *cigar);
uint32_t ck_scan_diagonals_avx512(
    const uint64_t *reference, uint32_t from, uint32_t count, const uint64_t *read, uint32_t length, uint32_t run,
    uint32_t *starts, int32_t *scores);
ck_alignment ck_align_banded_avx512(
    const uint64_t *reference, uint32_t first, uint32_t lanes, const uint8_t *codes, uint32_t length, uint32_t *cigar,
    uint8_t *scratch);
#endif

#endif

#include "align_internal.h"

#include "../cpu/ck_cpu.h"

#if defined(__x86_64__)
#define DISPATCH(name, ...)                                                                          \
    do {                                                                                             \
        if (ck_cpu_has(CK_CPU_AVX512 | CK_CPU_AVX512_VPOPCNTDQ)) return name##_avx512(__VA_ARGS__);   \
        return ck_cpu_has(CK_CPU_AVX2) ? name##_avx2(__VA_ARGS__) : name##_portable(__VA_ARGS__);     \
    } while (0)
#else
#define DISPATCH(name, ...) return name##_portable(__VA_ARGS__)
#endif

ck_alignment ck_score_diagonal(const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length) {
    DISPATCH(ck_score_diagonal, reference, start, read, length);
}

ck_alignment ck_align_one_gap(
    const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length, int32_t least, uint32_t reach,
    const int32_t *more, uint32_t more_count, uint32_t *cigar) {
    DISPATCH(ck_align_one_gap, reference, start, read, length, least, reach, more, more_count, cigar);
}

ck_alignment ck_align_banded(
    const uint64_t *reference, uint32_t first, uint32_t lanes, const uint8_t *codes, uint32_t length, uint32_t *cigar,
    uint8_t *scratch) {
    DISPATCH(ck_align_banded, reference, first, lanes, codes, length, cigar, scratch);
}

uint32_t ck_scan_diagonals(
    const uint64_t *reference, uint32_t from, uint32_t count, const uint64_t *read, uint32_t length, uint32_t run,
    uint32_t *starts, int32_t *scores) {
    DISPATCH(ck_scan_diagonals, reference, from, count, read, length, run, starts, scores);
}

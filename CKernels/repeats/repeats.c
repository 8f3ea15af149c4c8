#include "repeats_internal.h"

#include "../cpu/ck_cpu.h"

size_t ck_find_repeats(const uint8_t *codes, size_t count, size_t period, size_t least, ck_run *runs) {
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_AVX512)) return ck_find_repeats_avx512(codes, count, period, least, runs);
    if (ck_cpu_has(CK_CPU_AVX2)) return ck_find_repeats_avx2(codes, count, period, least, runs);
#endif
    return ck_find_repeats_portable(codes, count, period, least, runs);
}

#include "pack_internal.h"

#include "../cpu/ck_cpu.h"

void ck_pack_planes(const uint8_t *codes, size_t count, uint64_t *planes) {
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_AVX512)) return ck_pack_planes_avx512(codes, count, planes);
    if (ck_cpu_has(CK_CPU_AVX2)) return ck_pack_planes_avx2(codes, count, planes);
#endif
    ck_pack_planes_portable(codes, count, planes);
}

void ck_reverse_complement(const uint8_t *codes, size_t count, uint8_t *out) {
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_AVX2)) return ck_reverse_complement_avx2(codes, count, out);
#endif
    ck_reverse_complement_portable(codes, count, out);
}

void ck_reverse_bytes(const uint8_t *values, size_t count, uint8_t *out) {
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_AVX2)) return ck_reverse_bytes_avx2(values, count, out);
#endif
    ck_reverse_bytes_portable(values, count, out);
}

#include "basequal_internal.h"

#include "../cpu/ck_cpu.h"

bool ck_pack_basequal(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out) {
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_AVX512)) return ck_pack_basequal_avx512(codes, qualities, count, out);
    if (ck_cpu_has(CK_CPU_AVX2)) return ck_pack_basequal_avx2(codes, qualities, count, out);
#endif
    return ck_pack_basequal_portable(codes, qualities, count, out);
}

bool ck_pack_basequal_reverse(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out) {
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_AVX512)) return ck_pack_basequal_reverse_avx512(codes, qualities, count, out);
    if (ck_cpu_has(CK_CPU_AVX2)) return ck_pack_basequal_reverse_avx2(codes, qualities, count, out);
#endif
    return ck_pack_basequal_reverse_portable(codes, qualities, count, out);
}

void ck_unpack_basequal(const uint8_t *packed, size_t count, uint8_t *codes, uint8_t *qualities) {
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_AVX512)) return ck_unpack_basequal_avx512(packed, count, codes, qualities);
    if (ck_cpu_has(CK_CPU_AVX2)) return ck_unpack_basequal_avx2(packed, count, codes, qualities);
#endif
    ck_unpack_basequal_portable(packed, count, codes, qualities);
}

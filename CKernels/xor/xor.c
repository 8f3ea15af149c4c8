#include "xor_internal.h"

#include "../cpu/ck_cpu.h"
#include "../cpu/ck_stream.h"

void ck_xor(void *out, const void *a, const void *b, size_t n) {
#if defined(__x86_64__)
    // In place the line is read in any case.
    if (n >= CK_STREAM_MINIMUM && out != a && out != b) return ck_xor_stream(out, a, b, n);
    if (ck_cpu_has(CK_CPU_AVX512)) return ck_xor_avx512(out, a, b, n);
    if (ck_cpu_has(CK_CPU_AVX2)) return ck_xor_avx2(out, a, b, n);
#elif defined(__aarch64__)
    if (ck_cpu_has(CK_CPU_NEON)) return ck_xor_neon(out, a, b, n);
#endif
    ck_xor_portable(out, a, b, n);
}

void ck_xor_into(void *dst, const void *src, size_t n) { ck_xor(dst, dst, src, n); }

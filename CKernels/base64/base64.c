#include "base64_internal.h"

#include "../cpu/ck_cpu.h"

#define AVX512 (CK_CPU_AVX512 | CK_CPU_AVX512_VBMI)

void ck_base64_encode(uint8_t *out, const uint8_t *in, size_t n) {
    size_t done = 0;
#if defined(__x86_64__)
    if (ck_cpu_has(AVX512)) done = ck_base64_encode_avx512(out, in, n);
#endif
    ck_base64_encode_portable(out + done / 3 * 4, in + done, n - done);
}

ptrdiff_t ck_base64_decode(uint8_t *out, const uint8_t *in, size_t n) {
    size_t done = 0;
    uint64_t wrong = 0;
    if (n % 4 != 0) return -1;
#if defined(__x86_64__)
    // The last group may be padded.
    if (n > 4 && ck_cpu_has(AVX512)) done = ck_base64_decode_avx512(out, in, n - 4, &wrong);
#endif
    const ptrdiff_t rest = ck_base64_decode_portable(out + done / 4 * 3, in + done, n - done);
    // No jump: that a text was wrong is told by the value alone.
    const ptrdiff_t fault = -(ptrdiff_t)((wrong != 0) | (rest < 0));
    return fault | ((ptrdiff_t)(done / 4 * 3) + rest);
}

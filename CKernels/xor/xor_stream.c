#if defined(__x86_64__)

#include "../cpu/ck_stream.h"
#include "xor_internal.h"

void ck_xor_stream(uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n) {
    size_t i = 0;
    for (; i < n && !ck_is_line_aligned(out + i); i++) out[i] = a[i] ^ b[i];
    for (; n - i >= sizeof(ck_line); i += sizeof(ck_line))
        ck_line_stream(out + i, ck_line_xor(ck_line_load(a + i), ck_line_load(b + i)));
    ck_stream_end();
    for (; i < n; i++) out[i] = a[i] ^ b[i];
}

#endif

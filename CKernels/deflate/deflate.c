#include "deflate_internal.h"

#include <string.h>

size_t ck_deflate_scratch_bytes(void) { return (sizeof(ck_deflate_scratch) + 63) / 64 * 64; }

size_t ck_deflate(void *scratch, uint8_t *out, const uint8_t *in, size_t n) {
    ck_deflate_scratch *s = scratch;
    if (n > 0) {
        size_t sequences = ck_deflate_search(s, in, n);
        size_t size = ck_deflate_encode(s, sequences, out, in, n);
        if (size > 0) return size;
    }
    // One stored block, the last: its size and the complement of that.
    uint16_t size = (uint16_t)n, complement = (uint16_t)~size;
    out[0] = 1;
    out[1] = (uint8_t)size;
    out[2] = (uint8_t)(size >> 8);
    out[3] = (uint8_t)complement;
    out[4] = (uint8_t)(complement >> 8);
    if (n > 0) memcpy(out + 5, in, n);
    return n + 5;
}

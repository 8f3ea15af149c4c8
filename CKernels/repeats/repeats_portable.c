#include "repeats_internal.h"

#include <string.h>

static inline uint64_t likeness(const uint8_t *here, size_t period) {
    const uint64_t low = 0x7f7f7f7f7f7f7f7f;
    uint64_t like = 0;
    for (size_t i = 0; i < 64; i += 8) {
        uint64_t own, other;
        memcpy(&own, here + i, 8);
        memcpy(&other, here + i - period, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        own = __builtin_bswap64(own);
        other = __builtin_bswap64(other);
#endif
        // A byte that is 0 where both are alike and known; the highest bit of each byte then says so.
        const uint64_t unlike = (own ^ other) | (own & 0xfcfcfcfcfcfcfcfc);
        const uint64_t zero = ~(((unlike & low) + low) | unlike | low);
        like |= ((zero >> 7) * 0x0102040810204080 >> 56) << i;
    }
    return like;
}

#define REPEATS_NAME(name) name##_portable
#include "repeats_body.h"

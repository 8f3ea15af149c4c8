// The formulas of shares.h with streaming stores: both halves of every output are aligned to a line.
#if defined(__x86_64__)

#include "../cpu/ck_stream.h"
#include "shares_internal.h"

#define EACH_LINE for (size_t i = 0; i < half; i += sizeof(ck_line))

void ck_share_split_stream(uint8_t *a, uint8_t *b, const uint8_t *s, const uint8_t *r, size_t half) {
    EACH_LINE {
        const ck_line r1 = ck_line_load(r + i), r2 = ck_line_load(r + half + i);
        const ck_line a1 = ck_line_xor(ck_line_load(s + i), r1), b2 = ck_line_xor(ck_line_load(s + half + i), r2);
        ck_line_stream(a + i, a1);
        ck_line_stream(a + half + i, ck_line_xor(b2, r1));
        ck_line_stream(b + i, ck_line_xor(a1, r2));
        ck_line_stream(b + half + i, b2);
    }
    ck_stream_end();
}

void ck_share_join_ab_stream(uint8_t *s, const uint8_t *a, const uint8_t *b, size_t half) {
    EACH_LINE {
        const ck_line t = ck_line_xor(ck_line_load(a + i), ck_line_load(b + half + i));
        ck_line_stream(s + i, ck_line_xor(t, ck_line_load(a + half + i)));
        ck_line_stream(s + half + i, ck_line_xor(t, ck_line_load(b + i)));
    }
    ck_stream_end();
}

void ck_share_join_ac_stream(uint8_t *s, const uint8_t *a, const uint8_t *c, size_t half) {
    EACH_LINE {
        const ck_line c1 = ck_line_load(c + i), c2 = ck_line_load(c + half + i);
        ck_line_stream(s + i, ck_line_xor(ck_line_load(a + i), c1));
        ck_line_stream(s + half + i, ck_line_xor(ck_line_load(a + half + i), ck_line_xor(c1, c2)));
    }
    ck_stream_end();
}

void ck_share_join_bc_stream(uint8_t *s, const uint8_t *b, const uint8_t *c, size_t half) {
    EACH_LINE {
        const ck_line c1 = ck_line_load(c + i), c2 = ck_line_load(c + half + i);
        ck_line_stream(s + i, ck_line_xor(ck_line_load(b + i), ck_line_xor(c1, c2)));
        ck_line_stream(s + half + i, ck_line_xor(ck_line_load(b + half + i), c2));
    }
    ck_stream_end();
}

#endif

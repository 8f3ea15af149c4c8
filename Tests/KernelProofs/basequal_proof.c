// Bases with their qualities in a byte: every pair of base and quality, every length, against the definition.
#include "proof.h"

static bool has_form(unsigned code, unsigned quality) { return quality <= (code == 4 ? 3u : 62u); }

static void at(size_t count, unsigned most_quality, bool with_n) {
    enum { CODES, QUALITIES, OUT, CODES_BACK, QUALITIES_BACK };
    uint8_t *codes = place(CODES, count, any_alignment()), *qualities = place(QUALITIES, count, any_alignment());
    bool fits = true;
    for (size_t i = 0; i < count; i++) {
        codes[i] = (uint8_t)random_below(with_n && random_below(8) == 0 ? 5 : 4);
        qualities[i] = (uint8_t)random_below((codes[i] == 4 && random_below(16) ? 3u : most_quality) + 1);
        fits &= has_form(codes[i], qualities[i]);
    }
    under_test("portable", count);
    for (int reverse = 0; reverse < 2; reverse++) {
        uint8_t *out = place(OUT, count, any_alignment());
        const bool packed = reverse ? ck_pack_basequal_reverse(codes, qualities, count, out)
                                    : ck_pack_basequal(codes, qualities, count, out);
        check(packed == fits && untouched(OUT), "fits");
        if (!packed) continue;
        digest(out, count);
        uint8_t *code = place(CODES_BACK, count, any_alignment());
        uint8_t *quality = place(QUALITIES_BACK, count, any_alignment());
        ck_unpack_basequal(out, count, code, quality);
        bool right = true;
        for (size_t i = 0; i < count; i++) {
            const size_t from = reverse ? count - 1 - i : i;
            const unsigned wanted = reverse && codes[from] < 4 ? 3u - codes[from] : codes[from];
            const unsigned form = wanted == 4 ? 252u + qualities[from] : 4u * qualities[from] + wanted;
            right &= out[i] == form && code[i] == wanted && quality[i] == qualities[from];
        }
        check(right && untouched(CODES_BACK) && untouched(QUALITIES_BACK), "there and back");
    }
}

void prove_basequal(void) {
    available("portable", 0);
    for (size_t count = 0; count <= 700; count++) {
        at(count, 62, false);
        at(count, 62, true);
        at(count, 64, count % 2);
    }
    for (int i = 0; i < 300; i++) at(random_below(4097), 255, true);
}

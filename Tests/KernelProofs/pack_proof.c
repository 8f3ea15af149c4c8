// Bit planes: every length, every start, against the definition base by base.
#include "proof.h"

static void at(size_t count) {
    enum { CODES, PLANES, OUT, BACK };
    const size_t words = ck_plane_words(count);
    uint8_t *codes = place(CODES, count, any_alignment());
    uint64_t *planes = (uint64_t *)(void *)place(PLANES, 8 * words, random_below(2) ? FLUSH : 8 * (int)random_below(8));
    for (size_t i = 0; i < count; i++) codes[i] = (uint8_t)random_below(random_below(4) == 0 ? 5 : 4);
    under_test("portable", count);
    ck_pack_planes(codes, count, planes);
    digest(planes, 8 * words);
    bool right = true;
    for (size_t i = 0; i < words / 3 * 64; i++) {
        const unsigned code = i < count ? codes[i] : 4;
        const unsigned bits = (unsigned)(planes[i / 64 * 3] >> i % 64 & 1) |
                              (unsigned)(planes[i / 64 * 3 + 1] >> i % 64 & 1) << 1 |
                              (unsigned)(planes[i / 64 * 3 + 2] >> i % 64 & 1) << 2;
        right &= bits == code;
    }
    check(right && untouched(PLANES), "planes");
    const size_t start = random_below(count + 1), length = random_below(count - start + 1);
    uint8_t *out = place(OUT, length, any_alignment());
    ck_unpack_planes(planes, start, length, out);
    check(memcmp(out, codes + start, length) == 0 && untouched(OUT), "unpacked");
    uint8_t *reverse = place(OUT, count, any_alignment()), *back = place(BACK, count, any_alignment());
    ck_reverse_complement(codes, count, reverse);
    right = true;
    for (size_t i = 0; i < count; i++) {
        const uint8_t code = codes[count - 1 - i];
        right &= reverse[i] == (code > 3 ? 4 : 3 - code);
    }
    ck_reverse_complement(reverse, count, back);
    check(right && memcmp(back, codes, count) == 0 && untouched(OUT) && untouched(BACK), "reverse complement");
    ck_reverse_bytes(codes, count, reverse);
    right = true;
    for (size_t i = 0; i < count; i++) right &= reverse[i] == codes[count - 1 - i];
    check(right && untouched(OUT), "reversed");
}

void prove_pack(void) {
    available("portable", 0);
    for (size_t count = 0; count <= 1100; count++) at(count);
    for (int i = 0; i < 300; i++) at(random_below(4097));
}

// Base64 against a definition by bits, and every way in which a text can be wrong.
#include "proof.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void define(char *out, const uint8_t *in, size_t n) {
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = (uint32_t)in[i] << 16;
        if (i + 1 < n) bits |= (uint32_t)in[i + 1] << 8;
        if (i + 2 < n) bits |= in[i + 2];
        for (int j = 0; j < 4; j++) *out++ = alphabet[bits >> (18 - 6 * j) & 63];
        if (n - i == 1) out[-2] = '=';
        if (n - i <= 2) out[-1] = '=';
    }
}

static void there_and_back(size_t n) {
    enum { BYTES, TEXT, BACK };
    static char wanted[ROOM];
    uint8_t *bytes = place(BYTES, n, any_alignment());
    random_fill(bytes, n);
    const size_t length = ck_base64_length(n);
    define(wanted, bytes, n);
    under_test("portable", n);
    uint8_t *text = place(TEXT, length, any_alignment());
    ck_base64_encode(text, bytes, n);
    check(memcmp(text, wanted, length) == 0 && untouched(TEXT) && untouched(BYTES), "encoded");
    digest(text, length);
    // Room as the header asks for it: padding may leave up to two bytes over.
    uint8_t *back = place(BACK, length / 4 * 3, any_alignment());
    const ptrdiff_t count = ck_base64_decode(back, text, length);
    check(count == (ptrdiff_t)n && memcmp(back, bytes, n) == 0 && untouched(BACK) && untouched(TEXT), "decoded");
    check(ck_base64_decode(text, text, length) == (ptrdiff_t)n && memcmp(text, bytes, n) == 0 && untouched(TEXT),
          "decoded in place");
}

static bool of_alphabet(int c) { return c != 0 && strchr(alphabet, c) != NULL; }

static void wrong_texts(void) {
    uint8_t text[24], out[24];
    for (size_t n = 10; n <= 12; n++) {
        uint8_t bytes[12];
        random_fill(bytes, sizeof bytes);
        ck_base64_encode(text, bytes, n);
        const size_t length = ck_base64_length(n), padding = length / 4 * 3 - n;
        under_test("portable", n);
        for (size_t at = 0; at < length; at++) {
            const uint8_t kept = text[at];
            for (int c = 0; c < 256; c++) {
                text[at] = (uint8_t)c;
                // A padding character more is right where the bits before it happen to be zero: not judged here.
                const bool open = c == '=' && at >= length - padding - 1;
                const bool is_padding = at >= length - padding;
                const bool last = at == length - padding - 1 && padding != 0;
                const ptrdiff_t count = ck_base64_decode(out, text, length);
                if (!open && !is_padding && !last) check((count == (ptrdiff_t)n) == of_alphabet(c), "a character");
                if (last && !open && !of_alphabet(c)) check(count == -1, "the last character");
                if (is_padding && c != '=' && !of_alphabet(c)) check(count == -1, "in the padding");
            }
            text[at] = kept;
        }
    }
    for (size_t n = 1; n < 12; n++) if (n % 4) check(ck_base64_decode(out, (const uint8_t *)"QUJDREVGR0hJ", n) == -1, "a length");
    const char *refused[] = {"====", "Q===", "QQ=Q", "=QQQ", "QUI=QUI=", "QR==", "QQF=", "Q=Q=", "QQ==QQ==", "QUJ DREV", "QUJD\n   "};
    for (size_t i = 0; i < COUNT(refused); i++)
        check(ck_base64_decode(out, (const uint8_t *)refused[i], strlen(refused[i])) == -1, refused[i]);
    check(ck_base64_decode(out, (const uint8_t *)"QUI=", 4) == 2 && memcmp(out, "AB", 2) == 0, "known");
    check(ck_base64_decode(out, (const uint8_t *)"", 0) == 0, "nothing");
}

void prove_base64(void) {
    available("portable", 0);
    for (size_t n = 0; n <= 700; n++) there_and_back(n);
    for (size_t n = 1530; n <= 1545; n++) there_and_back(n);
    for (size_t n = 3066; n <= 3080; n++) there_and_back(n);
    for (int i = 0; i < 100; i++) there_and_back(random_below(40000));
    wrong_texts();
}

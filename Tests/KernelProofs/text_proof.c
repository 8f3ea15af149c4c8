// Text: every length, every alignment, against the definition byte by byte.
#include "proof.h"

static const char READ_LETTERS[] = "ACGTUNRYSWKMBDHVacgtunryswkmbdhv.";

static int code_of(uint8_t letter, bool reference) {
    if (letter == 0) return -1;
    if (strchr(READ_LETTERS, letter) == NULL) return reference && strchr("Xx*-", letter) != NULL ? 4 : -1;
    switch (letter & 0xdf) {
    case 'A': return 0;
    case 'C': return 1;
    case 'G': return 2;
    case 'T':
    case 'U': return 3;
    default: return 4;
    }
}

static void lines(const uint8_t *text, size_t count) {
    enum { ENDS = 1 };
    const size_t capacity = CK_LINE_ENDS_LEAST + random_below(8);
    uint32_t *ends = (uint32_t *)(void *)place(ENDS, 4 * capacity, FLUSH);
    bool right = true;
    size_t from = 0;
    while (from < count) {
        size_t scanned = 0, next = 0;
        const size_t found = ck_line_ends(text + from, count - from, ends, capacity, &scanned);
        right &= scanned > 0 && scanned <= count - from && found <= capacity;
        for (size_t i = 0; i < scanned; i++) {
            if (text[from + i] != '\n') continue;
            right &= next < found && ends[next] == i;
            next++;
        }
        right &= next == found && untouched(ENDS);
        from += scanned;
    }
    check(right, "line ends");
    size_t word = 0;
    while (word < count && text[word] != ' ' && text[word] != '\t') word++;
    check(ck_word_length(text, count) == word, "word length");
}

static void letters(uint8_t *text, size_t count, bool reference) {
    enum { CODES = 1 };
    const char *from = random_below(2) ? "ACGTN" : READ_LETTERS;
    for (size_t i = 0; i < count; i++) text[i] = (uint8_t)from[random_below(strlen(from))];
    if (count > 0 && random_below(3) == 0) text[random_below(count)] = (uint8_t)random_below(256);
    uint8_t *codes = place(CODES, count, any_alignment());
    bool taken = true, right = true;
    for (size_t i = 0; i < count; i++) taken &= code_of(text[i], reference) >= 0;
    check(ck_encode_bases(text, count, reference, codes) == taken, "letters taken or refused");
    for (size_t i = 0; i < count && taken; i++) right &= codes[i] == code_of(text[i], reference);
    check(right && untouched(CODES), "base codes");
    if (taken) digest(codes, count);
}

static void at(size_t count) {
    enum { TEXT, SCORES };
    uint8_t *text = place(TEXT, count, any_alignment());
    for (size_t i = 0; i < count; i++) text[i] = (uint8_t)"\n \tACGTI"[random_below(random_below(4) ? 8 : 3)];
    under_test("portable", count);
    lines(text, count);
    letters(text, count, false);
    letters(text, count, true);
    for (size_t i = 0; i < count; i++) text[i] = (uint8_t)random_below(256);
    uint8_t *scores = place(SCORES, count, any_alignment());
    const uint8_t offset = (uint8_t)random_below(256);
    const uint8_t greatest = ck_encode_qualities(text, count, offset, scores);
    uint8_t expected = 0;
    bool right = true;
    for (size_t i = 0; i < count; i++) {
        const uint8_t score = (uint8_t)(text[i] - offset);
        right &= scores[i] == score;
        if (score > expected) expected = score;
    }
    check(right && greatest == expected && untouched(SCORES), "scores");
    digest(scores, count);
}

void prove_text(void) {
    available("portable", 0);
    // All 256 bytes alone, in each alphabet.
    for (int byte = 0; byte < 256; byte++) {
        const uint8_t letter = (uint8_t)byte;
        uint8_t code = 0;
        for (int reference = 0; reference < 2; reference++) {
            const int expected = code_of(letter, reference);
            check(ck_encode_bases(&letter, 1, reference, &code) == (expected >= 0), "alphabet");
            check(expected < 0 || code == expected, "alphabet");
        }
    }
    for (size_t count = 0; count <= 1100; count++) at(count);
    for (int i = 0; i < 300; i++) at(random_below(4097));
}

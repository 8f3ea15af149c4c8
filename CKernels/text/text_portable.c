#include "text_internal.h"

#include <string.h>

// Rows of sixteen characters: controls, punctuation and digits, then the letters' four.
#define NONE 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128
#define LETTERS(x) \
    128, 0, 4, 1, 4, 128, 128, 2, 4, 128, 128, 4, 128, 4, 4, 128, \
    128, 128, 4, 4, 3, 3, 4, 4, x, 4, 128, 128, 128, 128, 128, 128

const uint8_t ck_base_codes[2][128] = {
    {NONE, NONE, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 4, 128, NONE, LETTERS(128),
     LETTERS(128)},
    {NONE, NONE, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 4, 128, 128, 4, 4, 128, NONE, LETTERS(4),
     LETTERS(4)},
};

size_t ck_line_ends_portable(const uint8_t *text, size_t n, uint32_t *ends, size_t capacity, size_t *scanned) {
    size_t count = 0, at = 0;
    while (at < n) {
        const uint8_t *found = memchr(text + at, '\n', n - at);
        if (!found) {
            at = n;
            break;
        }
        if (count == capacity) break;
        ends[count++] = (uint32_t)(found - text);
        at = (size_t)(found - text) + 1;
    }
    *scanned = at;
    return count;
}

size_t ck_word_length_portable(const uint8_t *text, size_t n) {
    size_t i = 0;
    while (i < n && text[i] != ' ' && text[i] != '\t') i++;
    return i;
}

#define TEXT_NAME(name) name##_portable
#include "text_body.h"

// Encoding as one text for the variants whose compiler makes vectors of it; TEXT_NAME(name) names each function.

// Plain A, C, G, T and N; false when there is anything else. The codes of the four letters lie in bits 1 and 2 of their
// ASCII values.
static bool TEXT_NAME(encode_plain)(const uint8_t *letters, size_t n, uint8_t *codes) {
    uint8_t others = 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t letter = letters[i] & 0xdf;
        const uint8_t code = ((letter >> 1) ^ (letter >> 2)) & 3;
        const uint8_t base = letter == 'A' || letter == 'C' || letter == 'G' || letter == 'T' ? 0xff : 0;
        const uint8_t unknown = letter == 'N' ? 0xff : 0;
        codes[i] = (uint8_t)((code & base) | (4 & ~base));
        others |= (uint8_t)~(base | unknown);
    }
    return others == 0;
}

bool TEXT_NAME(ck_encode_bases)(const uint8_t *letters, size_t n, bool reference, uint8_t *codes) {
    if (TEXT_NAME(encode_plain)(letters, n, codes)) return true;
    const uint8_t *table = ck_base_codes[reference];
    uint8_t refused = 0;
    for (size_t i = 0; i < n; i++) {
        codes[i] = table[letters[i] & 0x7f];
        refused |= codes[i] | letters[i];
    }
    return refused < 0x80;
}

uint8_t TEXT_NAME(ck_encode_qualities)(const uint8_t *text, size_t n, uint8_t offset, uint8_t *scores) {
    uint8_t greatest = 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t score = (uint8_t)(text[i] - offset);
        scores[i] = score;
        greatest = score > greatest ? score : greatest;
    }
    return greatest;
}

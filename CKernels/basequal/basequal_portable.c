#include "basequal_internal.h"

enum { MOST_QUALITY = 62, MOST_QUALITY_OF_N = 3, N_FORM = 252 };

bool ck_pack_basequal_portable(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out) {
    bool fits = true;
    for (size_t i = 0; i < count; i++) {
        const bool is_n = codes[i] > 3;
        fits &= qualities[i] <= (is_n ? MOST_QUALITY_OF_N : MOST_QUALITY);
        out[i] = (uint8_t)(is_n ? N_FORM | qualities[i] : qualities[i] << 2 | codes[i]);
    }
    return fits;
}

bool ck_pack_basequal_reverse_portable(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out) {
    bool fits = true;
    for (size_t i = 0; i < count; i++) {
        const uint8_t code = codes[count - 1 - i], quality = qualities[count - 1 - i];
        const bool is_n = code > 3;
        fits &= quality <= (is_n ? MOST_QUALITY_OF_N : MOST_QUALITY);
        out[i] = (uint8_t)(is_n ? N_FORM | quality : quality << 2 | (3 - code));
    }
    return fits;
}

void ck_unpack_basequal_portable(const uint8_t *packed, size_t count, uint8_t *codes, uint8_t *qualities) {
    for (size_t i = 0; i < count; i++) {
        const bool is_n = packed[i] >= N_FORM;
        codes[i] = is_n ? 4 : packed[i] & 3;
        qualities[i] = is_n ? packed[i] & 3 : packed[i] >> 2;
    }
}

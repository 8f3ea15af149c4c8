#include "vcf_internal.h"

#define VCF_TARGET
#define VCF_NAME(name) name##_portable

static inline void masks_portable(
    const uint8_t *text, size_t left, uint64_t *tabs, uint64_t *feeds, uint64_t *nuls) {
    const size_t n = left < 64 ? left : 64;
    uint64_t tab = 0, feed = 0, nul = 0;
    for (size_t i = 0; i < n; i++) {
        tab |= (uint64_t)(text[i] == '\t') << i;
        feed |= (uint64_t)(text[i] == '\n') << i;
        nul |= (uint64_t)(text[i] == 0) << i;
    }
    *tabs = tab;
    *feeds = feed;
    *nuls = nul;
}

static inline uint64_t end_key_portable(const uint8_t *text, size_t left) {
    const size_t n = left < 64 ? left : 64;
    uint64_t found = 0;
    for (size_t i = 0; i + 4 <= n; i++) {
        if (text[i] == 'E' && text[i + 1] == 'N' && text[i + 2] == 'D' && text[i + 3] == '=') found |= 1ull << i;
    }
    return found;
}

#include "vcf_body.h"

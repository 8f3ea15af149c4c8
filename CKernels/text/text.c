#include "text_internal.h"

#include "../cpu/ck_cpu.h"

#if defined(__x86_64__)
// The AVX-512 variant looks letters up in registers, which takes VBMI.
#define DISPATCH(name, ...) \
    if (ck_cpu_has(CK_CPU_AVX512 | CK_CPU_AVX512_VBMI)) return name##_avx512(__VA_ARGS__); \
    if (ck_cpu_has(CK_CPU_AVX2)) return name##_avx2(__VA_ARGS__); \
    return name##_portable(__VA_ARGS__)
#else
#define DISPATCH(name, ...) return name##_portable(__VA_ARGS__)
#endif

size_t ck_line_ends(const uint8_t *text, size_t n, uint32_t *ends, size_t capacity, size_t *scanned) {
    DISPATCH(ck_line_ends, text, n, ends, capacity, scanned);
}

size_t ck_word_length(const uint8_t *text, size_t n) { DISPATCH(ck_word_length, text, n); }

bool ck_encode_bases(const uint8_t *letters, size_t n, bool reference, uint8_t *codes) {
    DISPATCH(ck_encode_bases, letters, n, reference, codes);
}

uint8_t ck_encode_qualities(const uint8_t *text, size_t n, uint8_t offset, uint8_t *scores) {
    DISPATCH(ck_encode_qualities, text, n, offset, scores);
}

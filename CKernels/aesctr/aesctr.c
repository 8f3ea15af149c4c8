#include "aesctr.h"

#include <string.h>

#include "../cpu/ck_cpu.h"
#include "aesctr_internal.h"

ck_aes256_ctr_fn ck_aes256_ctr_variant(const char *name) {
#if defined(__x86_64__)
    int has_aesni = ck_cpu_has(CK_CPU_AES);
    if (strcmp(name, "vaes") == 0 && has_aesni && ck_cpu_has(CK_CPU_VAES) && ck_cpu_has(CK_CPU_AVX512))
        return ck_aes256_ctr_vaes;
    if (strcmp(name, "vaes256") == 0 && has_aesni && ck_cpu_has(CK_CPU_VAES)) return ck_aes256_ctr_vaes256;
    if (strcmp(name, "aesni") == 0 && has_aesni) return ck_aes256_ctr_aesni;
#elif defined(__aarch64__)
    if (strcmp(name, "neon") == 0 && ck_cpu_has(CK_CPU_AES)) return ck_aes256_ctr_neon;
#endif
    return strcmp(name, "portable") == 0 ? ck_aes256_ctr_portable : 0;
}

// The cap may change between calls, so the choice is made at each; it is a few loads against thousands of rounds.
static ck_aes256_ctr_fn best(void) {
    static const char *const names[] = {"vaes", "vaes256", "aesni", "neon"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ck_aes256_ctr_fn variant = ck_aes256_ctr_variant(names[i]);
        if (variant) return variant;
    }
    return ck_aes256_ctr_portable;
}

void ck_aes256_ctr_expand(const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, size_t n) {
    best()(schedule, counter, out, 0, 0, n);
}

void ck_aes256_ctr_xor(const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, size_t n) {
    best()(schedule, counter, out, a, 0, n);
}

void ck_aes256_ctr_xor2(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n) {
    best()(schedule, counter, out, a, b, n);
}

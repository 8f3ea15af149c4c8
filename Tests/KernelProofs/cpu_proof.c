// The caps of the dispatch nest, and the features are those that the variants need.
#include "proof.h"

void prove_cpu(void) {
    const ck_cpu_cap before = ck_cpu_get_cap();
    const uint32_t detected = ck_cpu_detected();
    ck_cpu_set_cap(CK_CPU_CAP_PORTABLE);
    check(ck_cpu_features() == 0, "portable clears all");
    ck_cpu_set_cap(CK_CPU_CAP_AVX2);
    const uint32_t avx2 = ck_cpu_features();
    check((avx2 & ~detected) == 0, "no feature that is not there");
    check((avx2 & (CK_CPU_AVX512 | CK_CPU_VAES | CK_CPU_VPCLMULQDQ)) == 0, "avx2 is AVX2");
    for (int cap = CK_CPU_CAP_AVX512; cap <= CK_CPU_CAP_NEON; cap++) {
        ck_cpu_set_cap((ck_cpu_cap)cap);
        check(ck_cpu_features() == detected, "no limit");
        check(ck_cpu_get_cap() == (ck_cpu_cap)cap, "the cap in force");
    }
    ck_cpu_set_cap(before);
    static const char *const names[] = {"avx2",       "avx512", "vbmi", "vbmi2", "vpopcntdq", "pclmulqdq",
                                        "vpclmulqdq", "aes",    "vaes", "gfni",  "neon",      "pmull"};
    for (size_t bit = 0; bit < COUNT(names); bit++) {
        if (detected >> bit & 1) available(names[bit], 1u << bit);
    }
}

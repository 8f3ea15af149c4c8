#include "health_internal.h"

#include "../cpu/ck_cpu.h"

typedef int (*windows_function)(ck_health *, const uint8_t *, size_t, uint32_t, uint32_t);

static windows_function choose(void) {
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_AVX512)) return ck_health_windows_avx512;
    if (ck_cpu_has(CK_CPU_AVX2)) return ck_health_windows_avx2;
#endif
    return 0;
}

int ck_health_add(ck_health *state, const void *samples, size_t n, uint32_t repetition, uint32_t proportion) {
    const uint8_t *x = samples;
    const windows_function add_windows = choose();
    // What is left of the window under way comes first, so that the variants find a sample before their own.
    const size_t head = CK_HEALTH_WINDOW - state->position;
    if (add_windows && repetition >= CK_HEALTH_LEAST_REPETITION && n >= head + CK_HEALTH_WINDOW) {
        const size_t windows = (n - head) / CK_HEALTH_WINDOW;
        int failed = ck_health_portable(state, x, head, repetition, proportion);
        if (failed == 0) failed = add_windows(state, x + head, windows, repetition, proportion);
        if (failed != 0) return failed;
        x += head + windows * CK_HEALTH_WINDOW;
        n -= head + windows * CK_HEALTH_WINDOW;
    }
    return ck_health_portable(state, x, n, repetition, proportion);
}

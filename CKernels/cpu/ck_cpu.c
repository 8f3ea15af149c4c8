#include "ck_cpu.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool all(uint32_t reg, uint32_t bits) { return (reg & bits) == bits; }

static uint32_t detect(void) {
    uint32_t a, b, c, d, features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const uint32_t leaf1c = c;
    if (all(leaf1c, bit_AES | bit_SSSE3)) features |= CK_CPU_AES;

    // Wide registers count only when the operating system saves them: bits 1, 2 of XCR0 for YMM, 5 to 7 for ZMM.
    const uint64_t xcr0 = all(leaf1c, bit_OSXSAVE) ? read_xcr0() : 0;
    const bool ymm = (xcr0 & 0x06) == 0x06, zmm = (xcr0 & 0xe6) == 0xe6;
    if (ymm && all(leaf1c, bit_PCLMUL | bit_AVX)) features |= CK_CPU_PCLMULQDQ;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return features;
    if (ymm && all(leaf1c, bit_AVX | bit_FMA | bit_POPCNT) && all(b, bit_AVX2 | bit_BMI | bit_BMI2)) {
        features |= CK_CPU_AVX2;
        if (all(c, bit_VAES)) features |= CK_CPU_VAES;
        if (all(c, bit_VPCLMULQDQ)) features |= CK_CPU_VPCLMULQDQ;
        if (all(c, bit_GFNI)) features |= CK_CPU_GFNI;
    }
    const uint32_t avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL;
    if ((features & CK_CPU_AVX2) && zmm && all(b, avx512)) {
        features |= CK_CPU_AVX512;
        if (all(c, bit_AVX512VBMI)) features |= CK_CPU_AVX512_VBMI;
        if (all(c, bit_AVX512VBMI2)) features |= CK_CPU_AVX512_VBMI2;
        if (all(c, bit_AVX512VPOPCNTDQ)) features |= CK_CPU_AVX512_VPOPCNTDQ;
    }
    return features;
}
#elif defined(__aarch64__)
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

// Advanced SIMD belongs to every AArch64 processor that Linux runs on; AES and PMULL are options, and separate ones.
static uint32_t detect(void) {
    uint32_t features = CK_CPU_NEON;
#if defined(__linux__)
    const unsigned long hardware = getauxval(AT_HWCAP);
    if (hardware & HWCAP_AES) features |= CK_CPU_AES;
    if (hardware & HWCAP_PMULL) features |= CK_CPU_PMULL;
#endif
    return features;
}
#else
static uint32_t detect(void) { return 0; }
#endif

#if defined(__aarch64__)
#define UNLIMITED CK_CPU_CAP_NEON
#else
#define UNLIMITED CK_CPU_CAP_AVX512
#endif
#define READY (1u << 31)
static _Atomic uint32_t active;
static _Atomic int active_cap;

static uint32_t limit(uint32_t features, ck_cpu_cap cap) {
    switch (cap) {
    case CK_CPU_CAP_PORTABLE: return 0;
    case CK_CPU_CAP_AVX2:
        return features & (CK_CPU_AVX2 | CK_CPU_PCLMULQDQ | CK_CPU_AES | CK_CPU_NEON | CK_CPU_PMULL);
    case CK_CPU_CAP_AVX512:
    case CK_CPU_CAP_NEON: break;
    }
    return features;
}

static ck_cpu_cap cap_of_environment(void) {
    const char *name = getenv("DSGD_CPU_CAP");
    if (name == NULL) return UNLIMITED;
    if (strcmp(name, "neon") == 0) return CK_CPU_CAP_NEON;
    if (strcmp(name, "avx512") == 0) return CK_CPU_CAP_AVX512;
    if (strcmp(name, "avx2") == 0) return CK_CPU_CAP_AVX2;
    if (strcmp(name, "portable") == 0) return CK_CPU_CAP_PORTABLE;
    fprintf(stderr, "DSGD_CPU_CAP: unknown instruction set cap \"%.32s\"; use portable, avx2, avx512 or neon\n",
            name);
    exit(78);
}

void ck_cpu_set_cap(ck_cpu_cap cap) {
    atomic_store_explicit(&active_cap, (int)cap, memory_order_relaxed);
    atomic_store_explicit(&active, limit(detect(), cap) | READY, memory_order_release);
}

uint32_t ck_cpu_features(void) {
    uint32_t now = atomic_load_explicit(&active, memory_order_acquire);
    if (__builtin_expect(now == 0, 0)) {
        // Threads that race here compute and store the same value.
        ck_cpu_set_cap(cap_of_environment());
        now = atomic_load_explicit(&active, memory_order_acquire);
    }
    return now & ~READY;
}

uint32_t ck_cpu_detected(void) { return detect(); }

ck_cpu_cap ck_cpu_get_cap(void) {
    (void)ck_cpu_features();
    return (ck_cpu_cap)atomic_load_explicit(&active_cap, memory_order_relaxed);
}

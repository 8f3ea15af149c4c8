#include "seed.h"

#include <string.h>

#include "../cpu/ck_cpu.h"

#define CK_VARIANT(name) name##_portable
#include "find_body.h"
#undef CK_VARIANT

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,popcnt"))), apply_to = function)
#define CK_VARIANT(name) name##_avx2
#include "find_body.h"
#undef CK_VARIANT
#pragma clang attribute pop
#endif

size_t ck_find_seeds(const uint8_t *codes, size_t count, ck_seed_shape shape, uint64_t *keys, uint32_t *offsets) {
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_AVX2)) return find_seeds_avx2(codes, count, shape, keys, offsets);
#endif
    return find_seeds_portable(codes, count, shape, keys, offsets);
}

#include "seed_internal.h"

#include "../cpu/ck_cpu.h"

size_t ck_find_seeds(const uint8_t *codes, size_t count, ck_seed_shape shape, uint64_t *keys, uint32_t *offsets) {
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_AVX512)) return ck_find_seeds_avx512(codes, count, shape, keys, offsets);
    if (ck_cpu_has(CK_CPU_AVX2)) return ck_find_seeds_avx2(codes, count, shape, keys, offsets);
#endif
    return ck_find_seeds_portable(codes, count, shape, keys, offsets);
}

#include "pack_internal.h"

#include <string.h>

// Gathers bit 0 of eight bytes into one byte, lowest address first.
static inline uint64_t gather_bits(uint64_t bytes) {
    return ((bytes & 0x0101010101010101ull) * 0x0102040810204080ull) >> 56;
}

static void pack_block(const uint8_t *codes, uint64_t *planes) {
    uint64_t low = 0, high = 0, other = 0;
    for (int group = 0; group < 8; group++) {
        uint64_t bytes;
        memcpy(&bytes, codes + 8 * group, 8);
        low |= gather_bits(bytes) << (8 * group);
        high |= gather_bits(bytes >> 1) << (8 * group);
        other |= gather_bits(bytes >> 2) << (8 * group);
    }
    planes[0] = low;
    planes[1] = high;
    planes[2] = other;
}

void ck_pack_planes_portable(const uint8_t *codes, size_t count, uint64_t *planes) {
    size_t blocks = count / 64;
    for (size_t block = 0; block < blocks; block++) pack_block(codes + 64 * block, planes + 3 * block);
    size_t rest = count % 64;
    if (rest == 0) return;
    uint8_t last[64];
    memset(last, 4, sizeof last);
    memcpy(last, codes + 64 * blocks, rest);
    pack_block(last, planes + 3 * blocks);
}

uint32_t ck_sum_qualities(const uint8_t *values, size_t count, uint8_t least) {
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += values[i] >= least ? values[i] : 0;
    return sum;
}

void ck_unpack_planes(const uint64_t *planes, uint64_t start, size_t count, uint8_t *codes) {
    for (size_t i = 0; i < count;) {
        uint64_t base = start + i;
        const uint64_t *block = planes + (base >> 6) * 3;
        unsigned shift = base & 63;
        uint64_t low = block[0] >> shift, high = block[1] >> shift, other = block[2] >> shift;
        size_t here = 64 - shift < count - i ? 64 - shift : count - i;
        for (size_t j = 0; j < here; j++) {
            unsigned code = (unsigned)((low >> j) & 1) | (unsigned)((high >> j) & 1) << 1;
            codes[i + j] = (uint8_t)(((other >> j) & 1) ? 4 : code);
        }
        i += here;
    }
}

void ck_reverse_complement_portable(const uint8_t *codes, size_t count, uint8_t *out) {
    for (size_t i = 0; i < count; i++) {
        uint8_t code = codes[count - 1 - i];
        out[i] = code > 3 ? 4 : (uint8_t)(3 - code);
    }
}

void ck_reverse_bytes_portable(const uint8_t *values, size_t count, uint8_t *out) {
    for (size_t i = 0; i < count; i++) out[i] = values[count - 1 - i];
}

// Seeds that a read would have if it were a little different: what a read without seeds is asked for.

#include "seed_internal.h"

static uint64_t pack_bases(const uint8_t *codes, size_t count, uint8_t *any) {
    uint64_t word = 0;
    for (size_t i = 0; i < count; i++) {
        *any |= codes[i];
        word |= (uint64_t)(codes[i] & 3) << (2 * i);
    }
    return word;
}

// All seeds of which `known` bases are given and the others are missing: in front when `in_front`, else behind.
static size_t complete_seed(
    const uint8_t *codes, size_t known, size_t length, int in_front, uint32_t offset, uint64_t *keys,
    uint32_t *offsets) {
    size_t missing = length - known, found = 0;
    uint8_t any = 0;
    uint64_t bases = pack_bases(codes, known, &any);
    if (any & 4) return 0;
    for (uint64_t rest = 0; rest < 1ull << (2 * missing); rest++) {
        uint64_t plain = in_front ? bases << (2 * missing) | rest : bases | rest << (2 * known);
        uint64_t complement = complement_back(plain) >> (64 - 2 * length);
        if (plain == complement) continue;
        keys[found] = seed_key(plain, complement);
        offsets[found++] = offset;
    }
    return found;
}

size_t ck_find_edge_seeds(
    const uint8_t *codes, size_t count, ck_seed_shape shape, uint64_t *keys, uint32_t *offsets) {
    size_t length = ck_seed_length(shape), extension = shape.extension;
    if (count < length || extension == 0) return 0;
    // The bases that decide what is sampled all lie in the read: the seed's middle part, on its own.
    ck_seed_shape middle = {shape.window, 0};
    size_t size = ck_seed_length(middle), reach = size + extension - 1;
    uint64_t middle_keys[64];
    uint32_t starts[64];
    size_t found = 0;
    size_t front = ck_find_seeds(codes, reach, middle, middle_keys, starts);
    for (size_t i = 0; i < front; i++) {
        size_t missing = extension - starts[i];
        found += complete_seed(
            codes, length - missing, length, 1, (uint32_t)-(int32_t)missing, keys + found, offsets + found);
    }
    size_t from = count - reach;
    size_t back = ck_find_seeds(codes + from, reach, middle, middle_keys, starts);
    for (size_t i = 0; i < back; i++) {
        size_t start = from + starts[i] - extension;
        found += complete_seed(codes + start, count - start, length, 0, (uint32_t)start, keys + found, offsets + found);
    }
    return found;
}

// One text for all substitutions, so that the places are sampled once: for each place and base the stretch of the read
// whose seeds lie over the place. What lies over the border of two stretches is left out.
size_t ck_find_substituted_seeds(
    const uint8_t *codes, size_t count, ck_seed_shape shape, const uint32_t *places, size_t place_count, uint64_t *keys,
    uint32_t *offsets) {
    size_t length = ck_seed_length(shape), size = 0, parts = 0;
    uint8_t text[CK_SUBSTITUTIONS * 4 * 64];
    uint32_t ends[CK_SUBSTITUTIONS * 4], shifts[CK_SUBSTITUTIONS * 4];
    for (size_t i = 0; i < place_count; i++) {
        size_t place = places[i];
        size_t from = place + 1 > length ? place + 1 - length : 0;
        size_t to = place + length < count ? place + length : count;
        for (uint8_t base = 0; base < 4; base++) {
            if (base == codes[place]) continue;
            memcpy(text + size, codes + from, to - from);
            text[size + place - from] = base;
            shifts[parts] = (uint32_t)(from - size);
            size += to - from;
            ends[parts++] = (uint32_t)size;
        }
    }
    size_t found = ck_find_seeds(text, size, shape, keys, offsets), kept = 0, part = 0;
    for (size_t i = 0; i < found; i++) {
        while (offsets[i] >= ends[part]) part++;
        if (offsets[i] + length > ends[part]) continue;
        keys[kept] = keys[i];
        offsets[kept++] = offsets[i] + shifts[part];
    }
    return kept;
}

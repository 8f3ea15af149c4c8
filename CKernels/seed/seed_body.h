// Body of ck_find_seeds, compiled once per instruction set: seed_portable.c and seed_avx2.c define CK_VARIANT(name)
// and include this.

size_t CK_VARIANT(ck_find_seeds)(
    const uint8_t *codes, size_t count, ck_seed_shape shape, uint64_t *keys, uint32_t *offsets) {
    size_t length = ck_seed_length(shape), window = shape.window;
    if (count < length) return 0;
    uint32_t forward[CK_SEED_CHUNK + 16], reverse[CK_SEED_CHUNK + 16], order[CK_SEED_CHUNK + 16];
    uint8_t chosen[CK_SEED_CHUNK + 16];
    uint8_t any_n = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t code = codes[i];
        any_n |= code & 4;
        forward[i] = code & 3u;
        reverse[i] = 3u - (code & 3u);
    }
    // 16-mers by doubling: element i covers 2, 4, 8, 16 bases from i on. Elements past the end are never used.
    memset(forward + count, 0, 16 * sizeof *forward);
    memset(reverse + count, 0, 16 * sizeof *reverse);
    for (unsigned span = 1; span < 16; span *= 2) {
        for (size_t i = 0; i < count; i++) {
            forward[i] = forward[i] << (2 * span) | forward[i + span];
            reverse[i] = reverse[i] | reverse[i + span] << (2 * span);
        }
    }
    size_t words = count - 15;
    for (size_t i = 0; i < words; i++) {
        uint32_t word = forward[i] < reverse[i] ? forward[i] : reverse[i];
        word ^= word >> 16;
        word *= 0x7feb352du;
        word ^= word >> 15;
        word *= 0x846ca68bu;
        word ^= word >> 16;
        order[i] = word;
    }
    size_t windows = words - window + 1, middle = window / 2;
    memset(chosen, 1, windows);
    for (size_t other = 0; other < window; other++) {
        if (other == middle) continue;
        for (size_t i = 0; i < windows; i++) chosen[i] &= order[i + middle] < order[i + other];
    }
    size_t found = 0, extension = shape.extension;
    unsigned rest = 2 * (unsigned)(length - 16);
    uint64_t rest_mask = rest == 32 ? 0xFFFFFFFFull : (1ull << rest) - 1;
    for (size_t i = extension; i + extension < windows; i++) {
        if (!chosen[i]) continue;
        size_t start = i - extension, last = start + length - 16;
        uint64_t plain = (uint64_t)forward[start] << rest | (forward[last] & rest_mask);
        uint64_t complement = (uint64_t)reverse[last] << rest | (reverse[start] & rest_mask);
        if (plain == complement) continue;
        if (any_n) {
            uint8_t seen = 0;
            for (size_t j = 0; j < length; j++) seen |= codes[start + j];
            if (seen & 4) continue;
        }
        uint64_t strand = complement < plain;
        uint64_t key = strand ? complement : plain;
        key ^= key >> 31;
        key *= 0x9e3779b97f4a7c15ull;
        key ^= key >> 29;
        key *= 0xbf58476d1ce4e5b9ull;
        key ^= key >> 32;
        keys[found] = (key & ~1ull) | strand;
        offsets[found] = (uint32_t)start;
        found++;
    }
    return found;
}

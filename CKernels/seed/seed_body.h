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
            forward[i] = forward[i] | forward[i + span] << (2 * span);
            reverse[i] = reverse[i] << (2 * span) | reverse[i + span];
        }
    }
    size_t words = count - 15;
    for (size_t i = 0; i < words; i++) {
        order[i] = mix_word(forward[i] < reverse[i] ? forward[i] : reverse[i]);
    }
    size_t windows = words - window + 1, middle = window / 2;
    memset(chosen, 1, windows);
    for (size_t other = 0; other < window; other++) {
        if (other == middle) continue;
        for (size_t i = 0; i < windows; i++) chosen[i] &= order[i + middle] < order[i + other];
    }
    size_t found = 0, extension = shape.extension;
    unsigned rest = 2 * (unsigned)(length - 16);
    for (size_t i = extension; i + extension < windows; i++) {
        if (!chosen[i]) continue;
        size_t start = i - extension, last = start + length - 16;
        uint64_t plain = (uint64_t)forward[last] >> (32 - rest) << 32 | forward[start];
        uint64_t complement = (uint64_t)reverse[start] >> (32 - rest) << 32 | reverse[last];
        if (plain == complement) continue;
        if (any_n) {
            uint8_t seen = 0;
            for (size_t j = 0; j < length; j++) seen |= codes[start + j];
            if (seen & 4) continue;
        }
        keys[found] = seed_key(plain, complement);
        offsets[found] = (uint32_t)start;
        found++;
    }
    return found;
}

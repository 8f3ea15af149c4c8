// The search of repeats.h. The variant that includes this defines REPEATS_NAME and `likeness`: for 64 positions from
// `here` on, bit i says that here[i] == here[i - period] and here[i] < 4.

size_t REPEATS_NAME(ck_find_repeats)(
    const uint8_t *codes, size_t count, size_t period, size_t least, ck_run *runs) {
    size_t found = 0;
    uint64_t before = 0;  // likeness of the 64 positions in front
    uint64_t inside = 0;  // 1 when a run goes on at the end of these
    for (size_t at = period; at < count; at += 64) {
        uint64_t like = 0;
        if (count - at >= 64) {
            like = likeness(codes + at, period);
        } else {
            for (size_t i = 0; i < count - at; i++) {
                const uint8_t code = codes[at + i];
                like |= (uint64_t)(code == codes[at + i - period] && code < 4) << i;
            }
        }
        // Bit i of `long_enough` says that `least` positions up to the one at i are alike.
        uint64_t long_enough = like, tail = before;
        for (size_t have = 1; have < least;) {
            const size_t step = have < least - have ? have : least - have;
            long_enough &= long_enough << step | tail >> (64 - step);
            tail &= tail << step;
            have += step;
        }
        before = like;
        // Bits where a run begins to be long enough, and those behind its end.
        uint64_t borders = long_enough ^ (long_enough << 1 | inside);
        for (; borders; borders &= borders - 1) {
            const size_t place = at + (size_t)__builtin_ctzll(borders);
            if (inside) {
                runs[found++].end = (uint32_t)place;
            } else {
                runs[found].first = (uint32_t)(place + 1 - least);
            }
            inside ^= 1;
        }
    }
    if (inside) runs[found++].end = (uint32_t)count;
    return found;
}

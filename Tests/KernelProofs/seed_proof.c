// Seeds against their definition window by window; the seed table and the diagonals against plain search.
#include "proof.h"

#include "seed/seed_internal.h"

typedef size_t find_function(const uint8_t *codes, size_t count, ck_seed_shape shape, uint64_t *keys, uint32_t *offsets);

static const struct {
    const char *name;
    uint32_t features;
    find_function *find;
} variants[] = {
    {"portable", 0, ck_find_seeds_portable},
#if defined(__x86_64__)
    {"avx2", CK_CPU_AVX2, ck_find_seeds_avx2},
    {"avx512", CK_CPU_AVX512, ck_find_seeds_avx512},
#endif
};

// --- Seeds -----------------------------------------------------------------------------------------------------------

// The number of the bases, first one lowest, and that of their reverse complement.
static void numbers(const uint8_t *codes, size_t length, uint64_t *forward, uint64_t *reverse) {
    *forward = *reverse = 0;
    for (size_t i = 0; i < length; i++) {
        *forward |= (uint64_t)(codes[i] & 3) << (2 * i);
        *reverse |= (uint64_t)(3 - (codes[length - 1 - i] & 3u)) << (2 * i);
    }
}

static uint32_t order_of(const uint8_t *codes) {
    uint64_t forward, reverse;
    numbers(codes, 16, &forward, &reverse);
    uint32_t word = (uint32_t)(forward < reverse ? forward : reverse);
    word ^= word >> 16;
    word *= 0x7feb352du;
    word ^= word >> 15;
    word *= 0x846ca68bu;
    return word ^ word >> 16;
}

static uint64_t key_of(uint64_t forward, uint64_t reverse) {
    uint64_t key = reverse < forward ? reverse : forward;
    key ^= key >> 31;
    key *= 0x9e3779b97f4a7c15u;
    key ^= key >> 29;
    key *= 0xbf58476d1ce4e5b9u;
    key ^= key >> 32;
    return (key & ~1ull) | (reverse < forward);
}

static size_t seeds_by_definition(const uint8_t *codes, size_t count, ck_seed_shape shape, uint64_t *keys,
                                  uint32_t *offsets) {
    const size_t length = ck_seed_length(shape), middle = shape.window / 2;
    size_t found = 0;
    for (size_t start = 0; start + length <= count; start++) {
        const uint8_t *window = codes + start + shape.extension;
        bool chosen = true;
        for (size_t i = 0; i < shape.window; i++) {
            chosen &= i == middle || order_of(window + middle) < order_of(window + i);
        }
        for (size_t i = 0; i < length; i++) chosen &= codes[start + i] < 4;
        uint64_t forward, reverse;
        numbers(codes + start, length, &forward, &reverse);
        if (!chosen || forward == reverse) continue;
        keys[found] = key_of(forward, reverse);
        offsets[found++] = (uint32_t)start;
    }
    return found;
}

static uint64_t *words_at(int slot, size_t count) {
    return (uint64_t *)(void *)place(slot, 8 * count, random_below(2) ? FLUSH : 8 * (int)random_below(8));
}

static uint32_t *halves_at(int slot, size_t count) {
    return (uint32_t *)(void *)place(slot, 4 * count, random_below(2) ? FLUSH : 4 * (int)random_below(16));
}

static void seeds(size_t count) {
    enum { CODES, KEYS, OFFSETS };
    static uint64_t expected_keys[CK_SEED_CHUNK];
    static uint32_t expected_offsets[CK_SEED_CHUNK];
    ck_seed_shape shape;
    shape.window = 3 + 2 * (uint32_t)random_below(4);
    shape.extension = (uint32_t)random_below(5);
    const unsigned letters = random_below(4) == 0 ? 2 : 4;
    uint8_t *codes = place(CODES, count, any_alignment());
    // Short repeats too, in which many 16-mers are equal and none is the strict minimum.
    const size_t period = random_below(3) == 0 ? 1 + random_below(8) : count;
    for (size_t i = 0; i < count; i++) {
        codes[i] = (uint8_t)(random_below(60) == 0 ? 4 : random_below(letters));
        if (i >= period && random_below(40) != 0) codes[i] = codes[i - period];
    }
    const size_t expected = seeds_by_definition(codes, count, shape, expected_keys, expected_offsets);
    digest(expected_keys, 8 * expected);
    uint64_t *keys = words_at(KEYS, count + 16);
    uint32_t *offsets = halves_at(OFFSETS, count + 16);
    for (size_t v = 0; v <= COUNT(variants); v++) {
        const bool dispatch = v == COUNT(variants);
        if (!dispatch && !available(variants[v].name, variants[v].features)) continue;
        under_test(dispatch ? "dispatch" : variants[v].name, count);
        const size_t found = (dispatch ? ck_find_seeds : variants[v].find)(codes, count, shape, keys, offsets);
        check(found == expected && memcmp(keys, expected_keys, 8 * found) == 0 &&
                  memcmp(offsets, expected_offsets, 4 * found) == 0,
              "seeds equal the definition");
        check(untouched(KEYS) && untouched(OFFSETS), "seeds within their arrays");
    }
}

// --- Seeds that differ from the read ---------------------------------------------------------------------------------

typedef struct {
    uint64_t key;
    uint32_t offset;
} near_seed;

static int by_offset_and_key(const void *x, const void *y) {
    const near_seed *a = x, *b = y;
    if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
    return (a->key > b->key) - (a->key < b->key);
}

static near_seed near_expected[8 * CK_SUBSTITUTED_SEEDS];

// Adds the seeds of `codes` whose offsets lie between two bounds, `shift` added to each.
static size_t add_near(const uint8_t *codes, size_t count, ck_seed_shape shape, size_t from, size_t to, int shift,
                       size_t expected) {
    static uint64_t keys[CK_SEED_CHUNK];
    static uint32_t offsets[CK_SEED_CHUNK];
    const size_t found = seeds_by_definition(codes, count, shape, keys, offsets);
    for (size_t i = 0; i < found; i++) {
        if (offsets[i] < from || offsets[i] > to) continue;
        near_expected[expected++] = (near_seed){keys[i], offsets[i] + (uint32_t)shift};
    }
    return expected;
}

static void check_near(const uint64_t *keys, const uint32_t *offsets, size_t found, size_t expected, const char *what) {
    static near_seed actual[CK_SUBSTITUTED_SEEDS];
    for (size_t i = 0; i < found; i++) actual[i] = (near_seed){keys[i], offsets[i]};
    qsort(actual, found, sizeof actual[0], by_offset_and_key);
    qsort(near_expected, expected, sizeof near_expected[0], by_offset_and_key);
    bool same = found == expected;
    for (size_t i = 0; same && i < found; i++) same = by_offset_and_key(&actual[i], &near_expected[i]) == 0;
    check(same, what);
    for (size_t i = 0; i < expected; i++) digest(&near_expected[i].key, 8);
}

static void near_seeds(size_t count) {
    enum { CODES, KEYS, OFFSETS };
    ck_seed_shape shape;
    shape.window = 3 + 2 * (uint32_t)random_below(4);
    shape.extension = (uint32_t)random_below(5);
    const size_t length = ck_seed_length(shape);
    uint8_t *codes = place(CODES, count, any_alignment()), changed[512];
    for (size_t i = 0; i < count; i++) codes[i] = (uint8_t)(random_below(80) == 0 ? 4 : random_below(4));
    uint64_t *keys = words_at(KEYS, CK_SUBSTITUTED_SEEDS);
    uint32_t *offsets = halves_at(OFFSETS, CK_SUBSTITUTED_SEEDS);
    under_test("near", count);

    size_t expected = 0;
    for (size_t missing = 1; missing <= shape.extension && count >= length; missing++) {
        for (size_t rest = 0; rest < (size_t)1 << (2 * missing); rest++) {
            for (size_t i = 0; i < missing; i++) changed[i] = rest >> (2 * i) & 3;
            memcpy(changed + missing, codes, length - missing);
            expected = add_near(changed, length, shape, 0, 0, -(int)missing, expected);
            const size_t from = count - (length - missing);
            memcpy(changed, codes + from, length - missing);
            for (size_t i = 0; i < missing; i++) changed[length - missing + i] = rest >> (2 * i) & 3;
            expected = add_near(changed, length, shape, 0, 0, (int)from, expected);
        }
    }
    check_near(keys, offsets, ck_find_edge_seeds(codes, count, shape, keys, offsets), expected, "seeds at the edges");

    uint32_t places[CK_SUBSTITUTIONS];
    const size_t place_count = count == 0 ? 0 : random_below(CK_SUBSTITUTIONS + 1);
    expected = 0;
    for (size_t i = 0; i < place_count; i++) {
        const size_t at = random_below(count);
        places[i] = (uint32_t)at;
        for (uint8_t base = 0; base < 4; base++) {
            if (base == codes[at]) continue;
            memcpy(changed, codes, count);
            changed[at] = base;
            expected = add_near(changed, count, shape, at + 1 > length ? at + 1 - length : 0, at, 0, expected);
        }
    }
    const size_t found = ck_find_substituted_seeds(codes, count, shape, places, place_count, keys, offsets);
    check_near(keys, offsets, found, expected, "seeds with another base");
    check(untouched(KEYS) && untouched(OFFSETS), "near seeds within their arrays");
}

// --- Sorting ---------------------------------------------------------------------------------------------------------

static int ascending(const void *x, const void *y) {
    const uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return (a > b) - (a < b);
}

static void sorting(size_t count) {
    enum { WORDS, SCRATCH };
    static uint64_t expected[4096];
    const uint64_t mask = random_below(3) == 0 ? 0xff00ff : ~0ull >> random_below(60);
    uint64_t *words = words_at(WORDS, count), *scratch = words_at(SCRATCH, count);
    for (size_t i = 0; i < count; i++) expected[i] = words[i] = random_word() & mask;
    qsort(expected, count, 8, ascending);
    under_test("sort", count);
    ck_sort_words(words, scratch, count, 0);
    check(memcmp(words, expected, 8 * count) == 0 && untouched(WORDS) && untouched(SCRATCH), "sorted");
    // By the upper half alone, words with their numbers in the lower half: equal ones must keep their order.
    for (size_t i = 0; i < count; i++) expected[i] = words[i] = (random_word() & mask) >> 32 << 32 | i;
    qsort(expected, count, 8, ascending);
    ck_sort_words(words, scratch, count, 32);
    check(memcmp(words, expected, 8 * count) == 0 && untouched(WORDS) && untouched(SCRATCH), "sorted from a bit on");
}

// --- The table -------------------------------------------------------------------------------------------------------

enum { MOST_SEEDS = 2000, LIST_LIMIT = 12 };
static struct {
    uint64_t key;                        // strand bit 0
    uint32_t count, forward;
    uint32_t places[LIST_LIMIT + 8];     // forward ones first, each ascending
} known[MOST_SEEDS];

// Seeds with prints of their own, so that what a look-up must find is certain; some at one place, some at many.
static size_t known_seeds(size_t count) {
    static bool taken[32768];
    memset(taken, 0, sizeof taken);
    uint32_t next = 1000;
    for (size_t i = 0; i < count; i++) {
        uint64_t key;
        do key = random_word() & ~1ull;
        while (taken[key >> 1 & 0x7fff]);
        taken[key >> 1 & 0x7fff] = true;
        known[i].key = key;
        known[i].count = random_below(4) != 0 ? 1 : (uint32_t)(2 + random_below(LIST_LIMIT + 6));
        known[i].forward = (uint32_t)random_below(known[i].count + 1);
        for (uint32_t j = 0; j < known[i].count; j++) known[i].places[j] = next += 1 + (uint32_t)random_below(40);
    }
    return count;
}

static void look_up(const ck_seed_table *table, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const uint64_t strand = random_word() & 1, key = known[i].key | strand;
        uint64_t found;
        uint32_t order;
        ck_look_up_seeds(table, &key, 1, &found, &order);
        ck_prefetch_lists(table, &found, 1);
        const uint32_t at = (uint32_t)(found >> 32);
        if (known[i].count == 1) {
            const bool opposite = (known[i].forward == 0) != strand;
            check(at == known[i].places[0] && (found & 7) == (CK_FOUND | (opposite ? CK_FOUND_REVERSE : 0)),
                  "a seed at one place is found");
        } else {
            const uint32_t *list = table->lists + at;
            const bool kept = known[i].count <= LIST_LIMIT;
            check((found & 7) == (CK_FOUND | CK_FOUND_LIST) && list[0] == known[i].count &&
                      list[1] == known[i].forward &&
                      (!kept || memcmp(list + 2, known[i].places, 4 * known[i].count) == 0),
                  "a seed at many places is found");
        }
        // The same bucket and another print.
        const uint64_t absent = known[i].key ^ 2;
        bool there = false;
        for (size_t j = 0; j < count; j++) there |= (known[j].key & 0xfffe) == (absent & 0xfffe);
        ck_look_up_seeds(table, &absent, 1, &found, &order);
        if (!there) check(found == 0, "an absent seed is not found");
    }
}

// Many at once, in the order of the table's memory, answer as one by one.
static void look_up_many(const ck_seed_table *table, size_t count) {
    static uint64_t keys[3 * MOST_SEEDS], found[3 * MOST_SEEDS];
    static uint32_t order[3 * MOST_SEEDS];
    for (size_t i = 0; i < COUNT(keys); i++) {
        keys[i] = random_below(4) == 0 ? random_word() : known[random_below(count)].key | (random_word() & 1);
    }
    ck_look_up_seeds(table, keys, COUNT(keys), found, order);
    bool right = true;
    for (size_t i = 0; i < COUNT(keys); i++) {
        uint64_t alone;
        uint32_t place;
        ck_look_up_seeds(table, keys + i, 1, &alone, &place);
        right &= alone == found[i];
    }
    check(right, "many look-ups at once");
}

// Diagonals of a read that has `count` of the known seeds, against plain search.
static void diagonals(const ck_seed_table *table, size_t known_count) {
    enum { MOST = 40, CAPACITY = MOST * LIST_LIMIT };
    uint64_t keys[MOST], found[MOST], scratch[2 * CAPACITY], expected[CAPACITY];
    uint32_t offsets[MOST], order[MOST];
    ck_diagonal diagonals[CAPACITY];
    const uint32_t read_length = 150, seed_length = 21, cap = 1 + (uint32_t)random_below(LIST_LIMIT);
    const size_t count = random_below(MOST + 1);
    size_t hits = 0;
    uint32_t frequent = 0, informative = 0, from = 0;
    for (size_t i = 0, offset = 0; i < count; i++) {
        const size_t seed = random_below(known_count);
        const uint64_t strand = random_word() & 1;
        offset += random_below(4);
        offsets[i] = (uint32_t)offset;
        keys[i] = known[seed].key | strand;
        if (known[seed].count > 1 && known[seed].count > cap) {
            frequent++;
            continue;
        }
        for (uint32_t j = 0; j < known[seed].count; j++) {
            const uint64_t opposite = (j >= known[seed].forward) != strand;
            const uint32_t shift = opposite ? read_length - seed_length - offsets[i] : offsets[i];
            expected[hits++] = opposite << 32 | (uint32_t)(known[seed].places[j] - shift);
        }
        if (offsets[i] >= from) {
            informative++;
            from = offsets[i] + seed_length;
        }
    }
    qsort(expected, hits, 8, ascending);
    ck_look_up_seeds(table, keys, count, found, order);
    const ck_seed_summary summary = ck_collect_diagonals(table, keys, found, offsets, count, read_length, seed_length, cap,
                                                         diagonals, CAPACITY, scratch);
    size_t written = 0;
    bool right = true;
    for (size_t i = 0; i < hits; written++) {
        size_t end = i;
        while (end < hits && expected[end] == expected[i]) end++;
        right &= written < summary.diagonals && diagonals[written].start == (uint32_t)expected[i] &&
                 diagonals[written].strand == expected[i] >> 32 && diagonals[written].seeds == end - i;
        i = end;
    }
    check(right && summary.diagonals == written, "diagonals");
    check(summary.frequent == frequent && summary.repetitive == 0 && summary.informative == informative, "summary");
}

static void table(size_t seed_count, uint32_t bucket_count) {
    static ck_bucket buckets[CK_GROUP_BUCKETS + 64];
    static uint32_t lists[MOST_SEEDS * (LIST_LIMIT + 2)];
    const size_t count = known_seeds(seed_count);
    memset(buckets, 0, sizeof buckets[0] * bucket_count);
    under_test("table", bucket_count);
    uint32_t base = 0;
    for (uint32_t group = 0; group * CK_GROUP_BUCKETS < bucket_count; group++) {
        static uint64_t entries[MOST_SEEDS * (LIST_LIMIT + 8)], scratch[COUNT(entries)];
        size_t entry_count = 0;
        for (size_t i = 0; i < count; i++) {
            if (ck_bucket_of(known[i].key, bucket_count) / CK_GROUP_BUCKETS != group) continue;
            for (uint32_t j = 0; j < known[i].count; j++) {
                const uint64_t strand = j >= known[i].forward;
                entries[entry_count++] = ck_seed_entry(known[i].key | strand, bucket_count, known[i].places[j]);
            }
        }
        const uint32_t first = group * CK_GROUP_BUCKETS, rest = bucket_count - first;
        ck_sort_words(entries, scratch, entry_count, 0);
        const size_t words = ck_count_list_words(entries, entry_count, LIST_LIMIT);
        check(ck_fill_group(entries, entry_count, LIST_LIMIT, buckets + first,
                            rest < CK_GROUP_BUCKETS ? rest : CK_GROUP_BUCKETS, lists + base, base) == words,
              "list words as counted");
        base += (uint32_t)words;
    }
    const ck_seed_table built = {buckets, lists, bucket_count};
    digest(buckets, sizeof buckets[0] * bucket_count);
    look_up(&built, count);
    look_up_many(&built, count);
    for (int i = 0; i < 50; i++) diagonals(&built, count);
}

void prove_seed(void) {
    for (size_t count = 0; count <= 400; count++) seeds(count);
    for (int i = 0; i < 12; i++) seeds(random_below(CK_SEED_CHUNK + 1));
    seeds(CK_SEED_CHUNK);
    for (size_t count = 0; count <= 300; count++) near_seeds(count);
    for (size_t count = 0; count <= 300; count++) sorting(count);
    for (int i = 0; i < 40; i++) sorting(random_below(4097));
    // Full to nine tenths, so that many buckets overflow; then two groups.
    for (uint32_t buckets = 1; buckets <= 60; buckets++) table(9 * buckets, buckets);
    table(MOST_SEEDS, CK_GROUP_BUCKETS + 64);
}

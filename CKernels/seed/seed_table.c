#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "seed.h"

#define OVERFLOW_FLAG (1u << 10)

static inline uint32_t used_slots(uint32_t flags) { return flags >> 16; }

// The next bucket of the same group, the first after the last.
static inline uint32_t next_bucket(uint32_t bucket, uint32_t bucket_count) {
    uint32_t first = bucket & ~(CK_GROUP_BUCKETS - 1);
    uint32_t size = bucket_count - first < CK_GROUP_BUCKETS ? bucket_count - first : CK_GROUP_BUCKETS;
    return bucket + 1 - first == size ? first : bucket + 1;
}

// One bit for each slot whose print is `print`, its strand apart. Slots not in use may show too.
static inline uint32_t equal_prints(const ck_bucket *bucket, uint32_t print) {
#if defined(__SSE2__)
    const __m128i even = _mm_set1_epi16((short)0xFFFE), wanted = _mm_set1_epi16((short)print);
    __m128i low = _mm_and_si128(_mm_loadu_si128((const __m128i *)bucket->prints), even);
    __m128i high = _mm_and_si128(_mm_loadu_si128((const __m128i *)(bucket->prints + 2)), even);
    __m128i both = _mm_packs_epi16(_mm_cmpeq_epi16(low, wanted), _mm_cmpeq_epi16(high, wanted));
    uint32_t mask = (uint32_t)_mm_movemask_epi8(both);
    return (mask & 0xFF) | (mask >> 6 & 0x300);
#else
    uint32_t hits = 0;
    for (uint32_t slot = 0; slot < CK_BUCKET_SLOTS; slot++) {
        hits |= (uint32_t)((bucket->prints[slot] & 0xFFFE) == print) << slot;
    }
    return hits;
#endif
}

static inline uint64_t look_up(const ck_seed_table *table, uint64_t key) {
    uint32_t index = ck_bucket_of(key, table->bucket_count), print = (uint32_t)(key & 0xFFFE);
    for (uint32_t probes = 0; probes < CK_GROUP_BUCKETS; probes++) {
        const ck_bucket *bucket = table->buckets + index;
        uint32_t hits = equal_prints(bucket, print) & ((1u << used_slots(bucket->flags)) - 1);
        if (hits) {
            uint32_t slot = (uint32_t)__builtin_ctz(hits);
            uint64_t place = (uint64_t)bucket->places[slot] << 32 | CK_FOUND;
            if (bucket->flags >> slot & 1) return place | CK_FOUND_LIST;
            return place | ((bucket->prints[slot] ^ key) & 1 ? CK_FOUND_REVERSE : 0);
        }
        if (!(bucket->flags & OVERFLOW_FLAG)) break;
        index = next_bucket(index, table->bucket_count);
    }
    return 0;
}

#define PARTS 4096  // of the table, each at most two large pages at human size
#define AHEAD 32    // lookups under way

void ck_look_up_seeds(
    const ck_seed_table *table, const uint64_t *keys, size_t count, uint64_t *found, uint32_t *order) {
    unsigned shift = 0;
    while (table->bucket_count >> shift >= PARTS) shift++;
    if (count < PARTS / 8) {
        for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
    } else {
        uint32_t starts[PARTS] = {0}, total = 0;
        for (size_t i = 0; i < count; i++) starts[ck_bucket_of(keys[i], table->bucket_count) >> shift]++;
        for (uint32_t part = 0; part < PARTS; part++) {
            uint32_t here = starts[part];
            starts[part] = total;
            total += here;
        }
        for (size_t i = 0; i < count; i++) {
            order[starts[ck_bucket_of(keys[i], table->bucket_count) >> shift]++] = (uint32_t)i;
        }
    }
    for (size_t i = 0; i < count && i < AHEAD; i++) {
        __builtin_prefetch(table->buckets + ck_bucket_of(keys[order[i]], table->bucket_count));
    }
    for (size_t i = 0; i < count; i++) {
        if (i + AHEAD < count) {
            __builtin_prefetch(table->buckets + ck_bucket_of(keys[order[i + AHEAD]], table->bucket_count));
        }
        found[order[i]] = look_up(table, keys[order[i]]);
    }
}

void ck_prefetch_lists(const ck_seed_table *table, const uint64_t *found, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!(found[i] & CK_FOUND_LIST)) continue;
        // Two lines: a list of a few places often crosses into the second.
        const uint32_t *list = table->lists + (found[i] >> 32);
        __builtin_prefetch(list);
        __builtin_prefetch(list + 16);
    }
}

void ck_sort_words(uint64_t *words, uint64_t *scratch, size_t count, unsigned from_bit) {
    if (count <= 64) {
        for (size_t i = 1; i < count; i++) {
            uint64_t word = words[i];
            size_t j = i;
            for (; j > 0 && words[j - 1] >> from_bit > word >> from_bit; j--) words[j] = words[j - 1];
            words[j] = word;
        }
        return;
    }
    uint64_t every = words[0], some = words[0];
    for (size_t i = 1; i < count; i++) {
        every &= words[i];
        some |= words[i];
    }
    uint64_t varying = every ^ some;
    uint64_t *from = words, *to = scratch;
    for (unsigned shift = from_bit; shift < 64; shift += 8) {
        if (!(varying >> shift & 0xFF)) continue;
        size_t starts[256] = {0};
        for (size_t i = 0; i < count; i++) starts[from[i] >> shift & 0xFF]++;
        size_t total = 0;
        for (int value = 0; value < 256; value++) {
            size_t here = starts[value];
            starts[value] = total;
            total += here;
        }
        for (size_t i = 0; i < count; i++) to[starts[from[i] >> shift & 0xFF]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != words) memcpy(words, from, count * sizeof *words);
}

static inline size_t run_length(const uint64_t *entries, size_t count, size_t first) {
    size_t end = first + 1;
    while (end < count && entries[end] >> 33 == entries[first] >> 33) end++;
    return end - first;
}

size_t ck_count_list_words(const uint64_t *entries, size_t count, uint32_t list_limit) {
    size_t words = 0;
    for (size_t i = 0; i < count;) {
        size_t run = run_length(entries, count, i);
        if (run > 1) words += 2 + (run <= list_limit ? run : 0);
        i += run;
    }
    return words;
}

static void put(ck_bucket *bucket, uint32_t place, uint16_t print, int is_list) {
    uint32_t slot = used_slots(bucket->flags);
    bucket->places[slot] = place;
    bucket->prints[slot] = print;
    bucket->flags += 1u << 16;
    if (is_list) bucket->flags |= 1u << slot;
}

size_t ck_fill_group(
    const uint64_t *entries, size_t count, uint32_t list_limit, ck_bucket *buckets, uint32_t bucket_count,
    uint32_t *lists, uint32_t list_base) {
    size_t words = 0;
    // Two rounds: seeds that fit their own bucket, then the others, so that overflow never displaces a later seed.
    for (int round = 0; round < 2; round++) {
        size_t position = 0;
        uint32_t current = bucket_count, seen = 0;
        for (size_t i = 0; i < count;) {
            size_t run = run_length(entries, count, i);
            size_t run_words = run > 1 ? 2 + (run <= list_limit ? run : 0) : 0;
            uint32_t home = (uint32_t)(entries[i] >> 48);
            seen = home == current ? seen + 1 : 1;
            current = home;
            int at_home = seen <= CK_BUCKET_SLOTS;
            if (at_home == (round == 0)) {
                uint32_t target = home;
                while (used_slots(buckets[target].flags) == CK_BUCKET_SLOTS) {
                    buckets[target].flags |= OVERFLOW_FLAG;
                    target = target + 1 == bucket_count ? 0 : target + 1;
                }
                uint16_t print = (uint16_t)(entries[i] >> 32);
                if (run > 1) {
                    put(buckets + target, list_base + (uint32_t)position, print & 0xFFFE, 1);
                    uint32_t *list = lists + position;
                    uint32_t forward = 0;
                    for (size_t j = 0; j < run; j++) {
                        forward += !(entries[i + j] >> 32 & 1);
                        if (run <= list_limit) list[2 + j] = (uint32_t)entries[i + j];
                    }
                    list[0] = (uint32_t)run;
                    list[1] = forward;
                } else {
                    put(buckets + target, (uint32_t)entries[i], print, 0);
                }
            }
            position += run_words;
            i += run;
        }
        words = position;
    }
    return words;
}

ck_seed_summary ck_collect_diagonals(
    const ck_seed_table *table, const uint64_t *keys, const uint64_t *found, const uint32_t *offsets, size_t count,
    uint32_t read_length, uint32_t seed_length, uint32_t list_cap, ck_diagonal *diagonals, size_t capacity,
    uint64_t *scratch) {
    // A hit is strand, start and number of seeds, in this order from the highest bit down. Seeds with one place mostly
    // agree with the one before, so that they are counted at once and few hits are left to sort.
    ck_seed_summary summary = {0, 0, 0, 0};
    size_t hits = 0;
    uint32_t informative_from = 0;
    uint64_t single = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t forward_shift = offsets[i], reverse_shift = read_length - seed_length - offsets[i];
        uint32_t place = (uint32_t)(found[i] >> 32);
        int left_out = 0;
        if (found[i] & CK_FOUND_LIST) {
            const uint32_t *list = table->lists + place;
            uint32_t size = list[0], forward = list[1];
            if (size > list_cap || hits + size > capacity) {
                left_out = 1;
                summary.frequent++;
                summary.repetitive += size > CK_REPETITIVE;
            } else {
                uint64_t read_strand = keys[i] & 1;
                for (uint32_t j = 0; j < size; j++) {
                    uint64_t opposite = (uint64_t)(j >= forward) ^ read_strand;
                    uint32_t start = list[2 + j] - (opposite ? reverse_shift : forward_shift);
                    scratch[hits++] = opposite << 48 | (uint64_t)start << 16 | 1;
                }
            }
        } else if (found[i]) {
            uint64_t opposite = (found[i] & CK_FOUND_REVERSE) ? 1 : 0;
            uint64_t hit = opposite << 48 | (uint64_t)(place - (opposite ? reverse_shift : forward_shift)) << 16 | 1;
            if (single && hit >> 16 == scratch[single - 1] >> 16) {
                scratch[single - 1]++;
            } else if (hits < capacity) {
                scratch[hits++] = hit;
                single = hits;
            }
        }
        if (!left_out && offsets[i] >= informative_from) {
            summary.informative++;
            informative_from = offsets[i] + seed_length;
        }
    }
    ck_sort_words(scratch, scratch + capacity, hits, 16);
    size_t written = 0;
    for (size_t i = 0; i < hits;) {
        uint32_t seeds = 0;
        uint64_t diagonal = scratch[i] >> 16;
        for (; i < hits && scratch[i] >> 16 == diagonal; i++) seeds += (uint16_t)scratch[i];
        diagonals[written++] = (ck_diagonal){(uint32_t)diagonal, (uint16_t)(diagonal >> 32), (uint16_t)seeds};
    }
    summary.diagonals = (uint32_t)written;
    return summary;
}

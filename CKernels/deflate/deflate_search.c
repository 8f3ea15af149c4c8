// The search for matches: one pass, one candidate from each table, one from the last distance.
#include "deflate_internal.h"

#include <string.h>

static inline uint32_t hash_long(uint64_t w) { return (uint32_t)((w * 0x9e3779b97f4a7c15u) >> (64 - CK_LONG_BITS)); }

static inline uint32_t hash_short(uint64_t w) { return ((uint32_t)w * 0x9e3779b1u) >> (32 - CK_SHORT_BITS); }

static inline size_t match_length(const uint8_t *a, const uint8_t *b, size_t have, size_t most) {
    while (have + 8 <= most) {
        uint64_t difference = ck_load64(a + have) ^ ck_load64(b + have);
        if (difference) return have + ((unsigned)__builtin_ctzll(difference) >> 3);
        have += 8;
    }
    while (have < most && a[have] == b[have]) have++;
    return have;
}

// log2(x) in sixteenths, x >= 1: exact at powers of two, linear between.
static inline uint32_t log2_16(uint32_t x) {
    uint32_t top = 31u - (uint32_t)__builtin_clz(x);
    uint32_t fraction = top >= 4 ? (x >> (top - 4)) & 15 : (x << (4 - top)) & 15;
    return top * 16 + fraction;
}

static uint16_t price(uint32_t count, uint32_t log_total) {
    uint32_t bits = log_total - log2_16(count + 1);
    if (bits < 16) bits = 16;
    return (uint16_t)(bits > 13 * 16 ? 13 * 16 : bits);
}

// Prices from what was counted so far.
static void set_prices(ck_deflate_scratch *s) {
    uint32_t total = 1, distances = 1;
    for (int i = 0; i < CK_LITLEN_SYMBOLS; i++) total += s->litlen_count[i];
    for (int i = 0; i < CK_DIST_SYMBOLS; i++) distances += s->dist_count[i];
    uint32_t log_total = log2_16(total), log_distances = log2_16(distances);
    for (int i = 0; i < 256; i++) s->literal_price[i] = price(s->litlen_count[i], log_total);
    for (int i = CK_MIN_MATCH; i <= CK_MAX_MATCH; i++) {
        unsigned symbol = ck_length_symbol[i];
        s->length_price[i] = (uint16_t)(price(s->litlen_count[257 + symbol], log_total) + 16 * ck_length_extra[symbol]);
    }
    for (unsigned i = 0; i < CK_DIST_SYMBOLS; i++)
        s->dist_price[i] = (uint16_t)(price(s->dist_count[i], log_distances) + 16 * ck_dist_extra(i));
}

// Prices before anything is known: literals by a sample of the block, every length and distance alike.
static void guess_prices(ck_deflate_scratch *s, const uint8_t *in, size_t n) {
    uint32_t count[256] = {0}, total = 1;
    for (size_t i = 0; i < n; i += 13, total++) count[in[i]]++;
    uint32_t log_total = log2_16(total);
    for (int i = 0; i < 256; i++) s->literal_price[i] = price(count[i], log_total);
    for (int i = CK_MIN_MATCH; i <= CK_MAX_MATCH; i++)
        s->length_price[i] = (uint16_t)(5 * 16 + 16 * ck_length_extra[ck_length_symbol[i]]);
    for (unsigned i = 0; i < CK_DIST_SYMBOLS; i++) s->dist_price[i] = (uint16_t)(4 * 16 + 16 * ck_dist_extra(i));
}

// Whether a match costs fewer bits than its bytes as literals would, judged by its first four: a sum over all of them
// costs more time, by the branch at its end, than it saves in size.
static inline int pays(const ck_deflate_scratch *s, const uint8_t *at, size_t length, size_t distance) {
    const uint16_t *price_of = s->literal_price;
    uint32_t four = (uint32_t)price_of[at[0]] + price_of[at[1]] + price_of[at[2]] + price_of[at[3]];
    uint32_t cost = (uint32_t)s->length_price[length] + s->dist_price[ck_dist_symbol((unsigned)distance)];
    return length * four > 4 * cost;
}

static inline void count_literals(ck_deflate_scratch *s, const uint8_t *from, size_t count) {
    for (size_t i = 0; i < count; i++) s->litlen_count[from[i]]++;
}

static inline void remember(ck_deflate_scratch *s, const uint8_t *in, size_t at) {
    uint64_t w = ck_load64(in + at);
    uint64_t *ways = &s->long_table[hash_long(w)];
    *ways = *ways << 16 | at;
    s->short_table[hash_short(w)] = (uint16_t)at;
}

typedef struct {
    size_t length, distance;
} match;

// The longest match at `at` among the last distance and the candidates of both tables; length 0 when there is none.
// The tables know `at` afterwards. An empty entry reads as position 0, which is as good a candidate as any.
static inline match find(ck_deflate_scratch *s, const uint8_t *in, size_t at, size_t last, size_t most) {
    uint64_t w = ck_load64(in + at);
    uint64_t *entry = &s->long_table[hash_long(w)], ways = *entry;
    uint16_t *short_entry = &s->short_table[hash_short(w)];
    size_t near = *short_entry;
    *entry = ways << 16 | at;
    *short_entry = (uint16_t)at;
    match best = {0, 0};
    if (at >= last && (uint32_t)ck_load64(in + at - last) == (uint32_t)w)
        best = (match){match_length(in + at, in + at - last, 4, most), last};
    size_t latest = (uint16_t)ways;
    if (ck_load64(in + latest) == w && at - latest <= CK_MAX_DISTANCE) {
        size_t found = match_length(in + at, in + latest, 8, most);
        // The last distance is cheaper than another, by about one byte.
        if (found > best.length + (best.length > 0)) best = (match){found, at - latest};
        for (int way = 1; way < CK_LONG_WAYS; way++) {
            ways >>= 16;
            size_t from = (uint16_t)ways;
            // Only a match that goes beyond the best one is measured.
            if (best.length < most && at - from <= CK_MAX_DISTANCE &&
                ck_load64(in + from + best.length - 7) == ck_load64(in + at + best.length - 7) &&
                ck_load64(in + from) == w) {
                found = match_length(in + at, in + from, 8, most);
                if (found > best.length) best = (match){found, at - from};
            }
        }
    } else if (best.length == 0 && (uint32_t)ck_load64(in + near) == (uint32_t)w && at - near <= CK_MAX_DISTANCE) {
        best = (match){match_length(in + at, in + near, 4, most), at - near};
    }
    return best;
}

// A match of eight bytes or more at `at` that is longer than `length`, from the latest candidate only.
static inline match find_longer(ck_deflate_scratch *s, const uint8_t *in, size_t at, size_t length, size_t most) {
    uint64_t w = ck_load64(in + at);
    uint64_t *entry = &s->long_table[hash_long(w)];
    size_t from = (uint16_t)*entry;
    if (ck_load64(in + from) == w && at - from <= CK_MAX_DISTANCE) {
        size_t found = match_length(in + at, in + from, 8, most);
        if (found > length) {
            *entry = *entry << 16 | at;
            return (match){found, at - from};
        }
    }
    return (match){0, 0};
}

size_t ck_deflate_search(ck_deflate_scratch *s, const uint8_t *in, size_t n) {
    memset(s->long_table, 0, sizeof s->long_table);
    memset(s->short_table, 0, sizeof s->short_table);
    memset(s->litlen_count, 0, sizeof s->litlen_count);
    memset(s->dist_count, 0, sizeof s->dist_count);
    guess_prices(s, in, n);
    // Literals begin at `run`. Position 0 has nothing before it.
    size_t made = 0, run = 0, at = 1, last = 1, revise = 4096;
    // Eight bytes are loaded at `at` and at the byte behind it.
    size_t end = n >= 9 ? n - 9 : 0;
    while (at <= end) {
        size_t most = n - at < CK_MAX_MATCH ? n - at : CK_MAX_MATCH;
        match m = find(s, in, at, last, most);
        if (m.length > 0 && m.length < 16) {
            // A longer match one byte on is worth a literal.
            match next = find_longer(s, in, at + 1, m.length, most - 1);
            if (next.length > 0) {
                m = next;
                at++;
            }
        }
        if (m.length == 0 || !pays(s, in + at, m.length, m.distance)) {
            at++;
            continue;
        }
        // Bytes before the match may belong to it as well.
        while (at > run && at > m.distance && m.length < CK_MAX_MATCH && in[at - 1] == in[at - 1 - m.distance]) {
            at--;
            m.length++;
        }
        count_literals(s, in + run, at - run);
        s->sequences[made++] = (ck_sequence){(uint16_t)(at - run), (uint16_t)m.length, (uint16_t)m.distance};
        s->litlen_count[257 + ck_length_symbol[m.length]]++;
        s->dist_count[ck_dist_symbol((unsigned)m.distance)]++;
        last = m.distance;
        run = at + m.length;
        if (run <= end) {
            // The ends of a match are where others begin; all of its bytes would take longer than the search.
            remember(s, in, at + 1);
            remember(s, in, at + 2);
            remember(s, in, run - 2);
            remember(s, in, run - 1);
        }
        at = run;
        if (at >= revise) {
            set_prices(s);
            revise *= 2;
        }
    }
    count_literals(s, in + run, n - run);
    s->sequences[made++] = (ck_sequence){(uint16_t)(n - run), 0, 0};
    return made;
}

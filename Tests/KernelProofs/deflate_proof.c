// Deflate: whatever goes in comes out of an inflater that follows RFC 1951 word for word.
#include "proof.h"

#include "deflate/deflate_internal.h"

// --- RFC 1951 --------------------------------------------------------------------------------------------------------

typedef struct {
    const uint8_t *in;
    size_t bits, at;  // in bits
    bool bad;
} reader;

static unsigned take(reader *r, unsigned count) {
    unsigned value = 0;
    for (unsigned i = 0; i < count; i++, r->at++) {
        if (r->at >= r->bits) {
            r->bad = true;
            return 0;
        }
        value |= (unsigned)(r->in[r->at / 8] >> r->at % 8 & 1) << i;
    }
    return value;
}

// A canonical code: how many codes of each size, and the symbols by size, then by value.
typedef struct {
    unsigned of_size[16];
    uint16_t symbols[288];
} prefix_code;

// Only complete codes are accepted, as some readers insist.
static bool set_code(prefix_code *code, const uint8_t *sizes, unsigned n) {
    unsigned used = 0, left = 1u << 15;
    memset(code, 0, sizeof *code);
    for (unsigned size = 1; size < 16; size++) {
        for (unsigned symbol = 0; symbol < n; symbol++) {
            if (sizes[symbol] != size) continue;
            code->of_size[size]++;
            code->symbols[used++] = (uint16_t)symbol;
            left -= 1u << (15 - size);
        }
    }
    return left == 0;
}

static unsigned take_symbol(reader *r, const prefix_code *code) {
    unsigned value = 0, first = 0, index = 0;
    for (unsigned size = 1; size < 16; size++) {
        value = value << 1 | take(r, 1);
        first <<= 1;
        if (value - first < code->of_size[size]) return code->symbols[index + value - first];
        first += code->of_size[size];
        index += code->of_size[size];
    }
    r->bad = true;
    return 0;
}

static bool take_codes(reader *r, prefix_code *literals, prefix_code *distances) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t sizes[320] = {0};
    const unsigned literal_codes = 257 + take(r, 5), distance_codes = 1 + take(r, 5), size_codes = 4 + take(r, 4);
    const unsigned all = literal_codes + distance_codes;
    prefix_code code;
    for (unsigned i = 0; i < size_codes; i++) sizes[order[i]] = (uint8_t)take(r, 3);
    if (literal_codes > 286 || distance_codes > 30 || !set_code(&code, sizes, 19)) return false;
    memset(sizes, 0, sizeof sizes);
    for (unsigned i = 0; i < all && !r->bad;) {
        const unsigned symbol = take_symbol(r, &code);
        if (symbol < 16) {
            sizes[i++] = (uint8_t)symbol;
            continue;
        }
        if (symbol == 16 && i == 0) return false;
        const uint8_t size = symbol == 16 ? sizes[i - 1] : 0;
        unsigned run = symbol == 16 ? 3 + take(r, 2) : symbol == 17 ? 3 + take(r, 3) : 11 + take(r, 7);
        if (i + run > all) return false;
        while (run-- > 0) sizes[i++] = size;
    }
    return !r->bad && sizes[256] > 0 && set_code(literals, sizes, literal_codes) &&
           set_code(distances, sizes + literal_codes, distance_codes);
}

// The farthest and the longest match that any stream had.
static unsigned farthest, longest;

static bool take_block(reader *r, uint8_t *out, size_t *n, size_t most) {
    static const uint16_t length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                             31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    prefix_code literals, distances;
    if (!take_codes(r, &literals, &distances)) return false;
    while (!r->bad) {
        unsigned symbol = take_symbol(r, &literals);
        if (symbol == 256) return !r->bad;
        if (symbol < 256) {
            if (*n == most) return false;
            out[(*n)++] = (uint8_t)symbol;
            continue;
        }
        symbol -= 257;
        unsigned length = length_base[symbol] + take(r, symbol < 8 || symbol == 28 ? 0 : symbol / 4 - 1);
        symbol = take_symbol(r, &distances);
        const unsigned extra = symbol < 4 ? 0 : symbol / 2 - 1;
        const unsigned distance = 1 + (symbol < 4 ? symbol : (2 + symbol % 2) << extra) + take(r, extra);
        if (distance > *n || length > most - *n) return false;
        if (distance > farthest) farthest = distance;
        if (length > longest) longest = length;
        for (; length > 0; length--, (*n)++) out[*n] = out[*n - distance];
    }
    return false;
}

// Whether `size` bytes are one stream, no byte less or more, of `most` bytes.
static bool inflate(uint8_t *out, size_t most, const uint8_t *in, size_t size) {
    reader r = {in, 8 * size, 0, false};
    size_t n = 0;
    for (bool last = false; !last;) {
        last = take(&r, 1) == 1;
        const unsigned kind = take(&r, 2);
        if (kind == 2) {
            if (!take_block(&r, out, &n, most)) return false;
        } else if (kind == 0) {
            r.at = (r.at + 7) / 8 * 8;
            const unsigned stored = take(&r, 16), complement = take(&r, 16);
            if (r.bad || (stored ^ complement) != 0xffff || stored > most - n) return false;
            for (unsigned i = 0; i < stored; i++) out[n++] = (uint8_t)take(&r, 8);
        } else {
            return false;
        }
        if (r.bad) return false;
    }
    return n == most && (r.at + 7) / 8 == size;
}

// --- Proofs ----------------------------------------------------------------------------------------------------------

enum { MOST = CK_DEFLATE_MAX_INPUT };
static uint8_t text[MOST], back[MOST];
static void *scratch;

// The output ends at the guard page when it has all the room that the header demands.
static void round_trip(size_t n) {
    enum { IN, OUT, AGAIN };
    under_test("portable", n);
    uint8_t *in = place(IN, n, FLUSH), *out = place(OUT, CK_DEFLATE_ROOM(n), FLUSH);
    memcpy(in, text, n);
    memset(scratch, 0, ck_deflate_scratch_bytes());
    const size_t size = ck_deflate(scratch, out, in, n);
    check(size <= CK_DEFLATE_BOUND(n) && untouched(OUT) && untouched(IN), "within the bound");
    check(inflate(back, n, out, size) && memcmp(back, text, n) == 0, "inflates to the input");
    uint8_t *again = place(AGAIN, CK_DEFLATE_ROOM(n), any_alignment());
    in = place(IN, n, any_alignment());
    memcpy(in, text, n);
    memset(scratch, (int)random_below(256), ck_deflate_scratch_bytes());
    check(ck_deflate(scratch, again, in, n) == size && memcmp(again, out, size) == 0 && untouched(AGAIN),
          "whatever the scratch memory held");
    digest(out, size);
}

static void fill_random(size_t n, size_t alphabet) {
    for (size_t i = 0; i < n; i++) text[i] = (uint8_t)random_below(alphabet);
}

static void fill_periodic(size_t n, size_t period) {
    random_fill(text, period < n ? period : n);
    for (size_t i = period; i < n; i++) text[i] = text[i - period];
}

// Records with names that count up, bases, and qualities of a few values.
static void fill_fastq(size_t n) {
    size_t at = 0;
    for (unsigned read = (unsigned)random_below(1000000); at < n; read++) {
        char record[420];
        int used = snprintf(record, sizeof record, "@SIM:1:FCX:1:%u:%u:%u 1:N:0:ACGT\n", read / 5000, read / 7, read);
        for (int i = 0; i < 150; i++) record[used++] = "ACGT"[random_below(4)];
        used += snprintf(record + used, sizeof record - (size_t)used, "\n+\n");
        for (int i = 0; i < 150; i++) record[used++] = "FFFFFFFF:F,#"[random_below(12)];
        record[used++] = '\n';
        const size_t left = n - at < (size_t)used ? n - at : (size_t)used;
        memcpy(text + at, record, left);
        at += left;
    }
}

static void length_of(size_t n) {
    memset(text, 'A', n);
    round_trip(n);
    random_fill(text, n);
    round_trip(n);
    fill_random(n, 4);
    round_trip(n);
    fill_periodic(n, 1 + random_below(n < 300 ? n + 1 : 300));
    round_trip(n);
    fill_fastq(n);
    round_trip(n);
}

static void lengths(void) {
    for (size_t n = 0; n <= 300; n++) length_of(n);
    for (size_t power = 512; power <= 65536; power *= 2) {
        for (size_t n = power - 1; n <= power + 1 && n <= MOST; n++) length_of(n);
    }
    length_of(65280);
    length_of(MOST - 1);
    for (int i = 0; i < 20; i++) length_of(random_below(MOST + 1));
}

// Text whose symbols have the counts, in random order, so that Huffman's code would pass the limit of its sizes.
static void skewed(size_t symbols, const uint32_t *count, bool mixed) {
    size_t n = 0;
    for (size_t symbol = 0; symbol < symbols; symbol++) {
        for (uint32_t i = 0; i < count[symbol] && n < MOST; i++) text[n++] = (uint8_t)(symbol * 9 + 1);
    }
    for (size_t i = n; mixed && i > 1; i--) {
        const size_t j = random_below(i);
        const uint8_t kept = text[i - 1];
        text[i - 1] = text[j];
        text[j] = kept;
    }
    round_trip(n);
}

static void code_limits(void) {
    uint32_t fibonacci[24] = {1, 1}, geometric[256];
    for (size_t i = 2; i < COUNT(fibonacci); i++) fibonacci[i] = fibonacci[i - 1] + fibonacci[i - 2];
    for (size_t symbols = 1; symbols <= COUNT(fibonacci); symbols++) {
        skewed(symbols, fibonacci, false);
        skewed(symbols, fibonacci, true);
    }
    for (uint32_t ratio = 10; ratio <= 30; ratio += 2) {
        for (uint32_t i = 0, value = MOST / 2; i < COUNT(geometric); i++, value = value * 9 / ratio) {
            geometric[i] = value > 0 ? value : 1;
        }
        skewed(COUNT(geometric), geometric, true);
    }
}

// Copies from `distance` back, of `length`, between bytes that occur once.
static void matches_at(size_t distance, size_t length) {
    random_fill(text, MOST);
    for (size_t at = distance; at + length <= MOST; at += length + 9) memcpy(text + at, text + at - distance, length);
    round_trip(MOST);
}

static void matches(void) {
    static const size_t some[] = {4, 5, 10, 11, 257, 258, 259, 300, 1000};
    farthest = longest = 0;
    for (size_t distance = 32760; distance <= 32770; distance++) {
        for (size_t i = 0; i < COUNT(some); i++) {
            if (distance >= some[i]) matches_at(distance, some[i]);
        }
    }
    check(farthest == CK_MAX_DISTANCE && longest == CK_MAX_MATCH, "the farthest and the longest match are made");
    for (size_t length = 4; length <= 260; length += 1 + length / 16) matches_at(300 + random_below(2000), length);
    // Copies of random lengths from random distances, mostly near.
    for (int turn = 0; turn < 40; turn++) {
        const size_t n = MOST - random_below(turn % 2 == 0 ? 20 : 60000), alphabet = 1 + random_below(256);
        for (size_t at = 0; at < n;) {
            const size_t back_to = 1 + random_below((size_t)2 << random_below(15)), fresh = random_below(4);
            size_t copied = random_below(3) == 0 ? 0 : 3 + random_below(turn % 3 == 0 ? 300 : 20);
            for (size_t i = 0; i <= fresh && at < n; i++) text[at++] = (uint8_t)random_below(alphabet);
            for (; back_to <= at && copied > 0 && at < n; copied--, at++) text[at] = text[at - back_to];
        }
        round_trip(n);
    }
}

void prove_deflate(void) {
    available("portable", 0);
    const size_t bytes = ck_deflate_scratch_bytes();
    check(bytes % 64 == 0 && bytes >= sizeof(ck_deflate_scratch), "scratch memory in lines");
    scratch = aligned_alloc(64, bytes);
    if (scratch == NULL) {
        perror("scratch memory");
        exit(71);
    }
    lengths();
    code_limits();
    matches();
    free(scratch);
}

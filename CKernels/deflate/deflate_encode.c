// Huffman codes of limited length, and the block that they make.
#include "deflate_internal.h"

#include <string.h>

#define L4(x) x, x, x, x
#define L8(x) L4(x), L4(x)
#define L16(x) L8(x), L8(x)
#define L32(x) L16(x), L16(x)
const uint8_t ck_length_symbol[CK_MAX_MATCH + 1] = {
    0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 10, 10, 11, 11, L4(12), L4(13), L4(14), L4(15), L8(16), L8(17),
    L8(18), L8(19), L16(20), L16(21), L16(22), L16(23), L32(24), L32(25), L32(26),
    L16(27), L8(27), L4(27), 27, 27, 27, 28,
};
const uint16_t ck_length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                     31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
const uint8_t ck_length_extra[29] = {
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
};

// The order in which a block's header sends the sizes of the codes for code sizes (RFC 1951, 3.2.7).
static const uint8_t size_order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

typedef struct {
    uint32_t count;
    uint16_t symbol;
} leaf;

// Ascending by count, then by symbol, so that equal counts have one order only.
static void sort_leaves(leaf *a, leaf *spare, unsigned n) {
    uint32_t most = 0;
    for (unsigned i = 0; i < n; i++) most |= a[i].count;
    leaf *from = a, *to = spare;
    for (unsigned shift = 0; shift < 32 && most >> shift; shift += 8) {
        unsigned start[256] = {0};
        for (unsigned i = 0; i < n; i++) start[(from[i].count >> shift) & 255]++;
        for (unsigned i = 0, sum = 0; i < 256; i++) {
            unsigned here = start[i];
            start[i] = sum;
            sum += here;
        }
        for (unsigned i = 0; i < n; i++) to[start[(from[i].count >> shift) & 255]++] = from[i];
        leaf *swap = from;
        from = to;
        to = swap;
    }
    if (from != a) memcpy(a, from, n * sizeof *a);
}

// Code sizes of at most `limit` bits: Huffman's, by two queues, then the sizes over the limit are cut and the code is
// made prefix-free again at the least loss.
static void make_sizes(const uint32_t *count, unsigned symbols, unsigned limit, uint8_t *size) {
    leaf leaves[CK_LITLEN_SYMBOLS], spare[CK_LITLEN_SYMBOLS];
    unsigned n = 0;
    memset(size, 0, symbols);
    for (unsigned i = 0; i < symbols; i++)
        if (count[i]) leaves[n++] = (leaf){count[i], (uint16_t)i};
    if (n < 2) {
        // Two codes of one bit: complete, as some readers insist, where RFC 1951 would do with one or none.
        unsigned only = n ? leaves[0].symbol : 0;
        size[only] = 1;
        size[only == 0 ? 1 : 0] = 1;
        return;
    }
    sort_leaves(leaves, spare, n);
    uint32_t weight[CK_LITLEN_SYMBOLS];
    uint16_t parent_of_leaf[CK_LITLEN_SYMBOLS], parent[CK_LITLEN_SYMBOLS];
    unsigned leaf_at = 0, node_at = 0;
    for (unsigned node = 0; node + 1 < n; node++) {
        uint32_t sum = 0;
        for (int child = 0; child < 2; child++) {
            if (leaf_at < n && (node_at >= node || leaves[leaf_at].count <= weight[node_at])) {
                parent_of_leaf[leaf_at] = (uint16_t)node;
                sum += leaves[leaf_at++].count;
            } else {
                parent[node_at] = (uint16_t)node;
                sum += weight[node_at++];
            }
        }
        weight[node] = sum;
    }
    uint8_t depth[CK_LITLEN_SYMBOLS];
    unsigned of_size[16] = {0};
    depth[n - 2] = 0;
    for (unsigned node = n - 2; node-- > 0;) depth[node] = (uint8_t)(depth[parent[node]] + 1);
    for (unsigned i = 0; i < n; i++) {
        unsigned d = depth[parent_of_leaf[i]] + 1u;
        of_size[d < limit ? d : limit]++;
    }
    // Kraft's sum in units of the longest code; every cut has made it too large.
    uint32_t sum = 0;
    for (unsigned d = 1; d <= limit; d++) sum += of_size[d] << (limit - d);
    while (sum > 1u << limit) {
        // A code of the limit's size goes below a shorter one, which gives half of its room.
        unsigned d = limit - 1;
        while (of_size[d] == 0) d--;
        of_size[d]--;
        of_size[d + 1] += 2;
        of_size[limit]--;
        sum--;
    }
    unsigned i = 0;
    for (unsigned d = limit; d > 0; d--)
        for (unsigned k = 0; k < of_size[d]; k++) size[leaves[i++].symbol] = (uint8_t)d;
}

// Canonical codes, bits reversed, because deflate sends a code's first bit lowest.
static void make_code(const uint32_t *count, unsigned symbols, unsigned limit, ck_code *code) {
    make_sizes(count, symbols, limit, code->size);
    uint16_t next[17] = {0}, of_size[17] = {0};
    for (unsigned i = 0; i < symbols; i++) of_size[code->size[i]]++;
    of_size[0] = 0;
    for (unsigned d = 1; d <= 16; d++) next[d] = (uint16_t)((next[d - 1] + of_size[d - 1]) << 1);
    for (unsigned i = 0; i < symbols; i++) {
        unsigned d = code->size[i], value = d ? next[d]++ : 0, reversed = 0;
        for (unsigned b = 0; b < d; b++) reversed |= ((value >> b) & 1) << (d - 1 - b);
        code->bits[i] = (uint16_t)reversed;
    }
}

typedef struct {
    uint64_t bits;
    unsigned held;
    uint8_t *out;
} bit_writer;

static inline void put(bit_writer *b, uint64_t bits, unsigned count) {
    b->bits |= bits << b->held;
    b->held += count;
}

// Leaves at most seven bits. Writes eight bytes, of which the next call overwrites what is not yet valid.
static inline void flush(bit_writer *b) {
    uint64_t v = b->bits;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    __builtin_memcpy(b->out, &v, 8);
    b->out += b->held >> 3;
    b->bits >>= b->held & 56;
    b->held &= 7;
}

// One item of a header: a code size, or a run of them with `extra` as its length.
typedef struct {
    uint8_t symbol, extra;
} size_item;

static unsigned pack_sizes(const uint8_t *size, unsigned n, size_item *items, uint32_t *count) {
    unsigned made = 0;
    for (unsigned i = 0; i < n;) {
        unsigned run = 1;
        while (i + run < n && size[i + run] == size[i]) run++;
        unsigned left = run;
        if (size[i] == 0) {
            while (left >= 3) {
                unsigned take = left > 138 ? 138 : left;
                if (take >= 11) items[made++] = (size_item){18, (uint8_t)(take - 11)};
                else items[made++] = (size_item){17, (uint8_t)(take - 3)};
                left -= take;
            }
        } else {
            items[made++] = (size_item){size[i], 0};
            left--;
            while (left >= 3) {
                unsigned take = left > 6 ? 6 : left;
                items[made++] = (size_item){16, (uint8_t)(take - 3)};
                left -= take;
            }
        }
        while (left-- > 0) items[made++] = (size_item){size[i], 0};
        i += run;
    }
    for (unsigned i = 0; i < made; i++) count[items[i].symbol]++;
    return made;
}

// The block's header: the sizes of all codes, themselves coded.
static void put_header(bit_writer *b, const ck_code *litlen, const ck_code *dist) {
    unsigned literals = CK_LITLEN_SYMBOLS, distances = CK_DIST_SYMBOLS;
    while (literals > 257 && litlen->size[literals - 1] == 0) literals--;
    while (distances > 1 && dist->size[distances - 1] == 0) distances--;
    uint8_t size[CK_LITLEN_SYMBOLS + CK_DIST_SYMBOLS];
    memcpy(size, litlen->size, literals);
    memcpy(size + literals, dist->size, distances);
    size_item items[CK_LITLEN_SYMBOLS + CK_DIST_SYMBOLS];
    uint32_t count[19] = {0};
    unsigned made = pack_sizes(size, literals + distances, items, count);
    ck_code code;
    make_code(count, 19, 7, &code);
    unsigned sizes = 19;
    while (sizes > 4 && code.size[size_order[sizes - 1]] == 0) sizes--;
    put(b, 1 | 2 << 1, 3);
    put(b, literals - 257, 5);
    put(b, distances - 1, 5);
    put(b, sizes - 4, 4);
    flush(b);
    for (unsigned i = 0; i < sizes; i++) {
        put(b, code.size[size_order[i]], 3);
        if ((i & 7) == 7) flush(b);
    }
    flush(b);
    for (unsigned i = 0; i < made; i++) {
        unsigned symbol = items[i].symbol;
        put(b, code.bits[symbol], code.size[symbol]);
        if (symbol >= 16) put(b, items[i].extra, symbol == 16 ? 2 : symbol == 17 ? 3 : 7);
        flush(b);
    }
}

// Bits of everything behind the header.
static uint64_t body_bits(const ck_deflate_scratch *s, const ck_code *litlen, const ck_code *dist) {
    uint64_t bits = 0;
    for (unsigned i = 0; i < CK_LITLEN_SYMBOLS; i++)
        bits += (uint64_t)s->litlen_count[i] * (litlen->size[i] + (i > 256 ? ck_length_extra[i - 257] : 0u));
    for (unsigned i = 0; i < CK_DIST_SYMBOLS; i++)
        bits += (uint64_t)s->dist_count[i] * (dist->size[i] + ck_dist_extra(i));
    return bits;
}

size_t ck_deflate_encode(ck_deflate_scratch *s, size_t sequences, uint8_t *out, const uint8_t *in, size_t n) {
    ck_code litlen, dist;
    s->litlen_count[CK_END_OF_BLOCK] = 1;
    make_code(s->litlen_count, CK_LITLEN_SYMBOLS, CK_LITLEN_BITS, &litlen);
    make_code(s->dist_count, CK_DIST_SYMBOLS, CK_DIST_BITS, &dist);
    // No header is longer than 74 bits for the sizes' code and 14 bits for each size.
    bit_writer b = {0, 0, out};
    uint8_t header[640];
    b.out = header;
    put_header(&b, &litlen, &dist);
    size_t header_bytes = (size_t)(b.out - header);
    if (header_bytes * 8 + b.held + body_bits(s, &litlen, &dist) > n * 8) return 0;
    memcpy(out, header, header_bytes);
    b.out = out + header_bytes;
    // A match in one piece: code and extra bits of its length.
    uint32_t length_bits[CK_MAX_MATCH + 1];
    uint8_t length_size[CK_MAX_MATCH + 1];
    for (unsigned length = CK_MIN_MATCH; length <= CK_MAX_MATCH; length++) {
        unsigned symbol = ck_length_symbol[length], size = litlen.size[257 + symbol];
        length_bits[length] = litlen.bits[257 + symbol] | (uint32_t)(length - ck_length_base[symbol]) << size;
        length_size[length] = (uint8_t)(size + ck_length_extra[symbol]);
    }
    for (size_t i = 0; i < sequences; i++) {
        ck_sequence q = s->sequences[i];
        size_t left = q.literals;
        for (; left >= 4; left -= 4, in += 4) {
            put(&b, litlen.bits[in[0]], litlen.size[in[0]]);
            put(&b, litlen.bits[in[1]], litlen.size[in[1]]);
            put(&b, litlen.bits[in[2]], litlen.size[in[2]]);
            put(&b, litlen.bits[in[3]], litlen.size[in[3]]);
            flush(&b);
        }
        if (q.length == 0) {
            for (; left > 0; left--, in++) put(&b, litlen.bits[*in], litlen.size[*in]);
            flush(&b);
            break;
        }
        // The match behind has at least four bytes, so three are there: put without a branch that nothing foretells.
        for (size_t i = 0; i < 3; i++) {
            unsigned mask = 0u - (i < left);
            put(&b, litlen.bits[in[i]] & mask, litlen.size[in[i]] & mask);
        }
        in += left;
        flush(&b);
        unsigned symbol = ck_dist_symbol(q.distance), extra = ck_dist_extra(symbol);
        put(&b, length_bits[q.length], length_size[q.length]);
        put(&b, dist.bits[symbol], dist.size[symbol]);
        put(&b, q.distance - ck_dist_base(symbol), extra);
        flush(&b);
        in += q.length;
    }
    put(&b, litlen.bits[CK_END_OF_BLOCK], litlen.size[CK_END_OF_BLOCK]);
    flush(&b);
    return (size_t)(b.out - out) + (b.held > 0);
}

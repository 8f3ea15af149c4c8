// Sampled seeds and the table that finds them: open syncmers on 16-mers, one cache line per bucket.
//
// A position is sampled when the 16-mer in the middle of `window` consecutive ones is the strict minimum of their
// hashes
// (Edgar 2021, open syncmers; hashes are of the canonical 16-mer, so both strands sample the same places). The seed is
// the window's span extended by `extension` bases on both sides: 16 + window - 1 + 2 * extension bases, at most 32.
#ifndef CK_SEED_H
#define CK_SEED_H

#include <stddef.h>
#include <stdint.h>

#define CK_SEED_CHUNK 8192  // the most bases that one call of ck_find_seeds takes

typedef struct {
    uint32_t window;     // odd, 3..9
    uint32_t extension;  // 0..4
} ck_seed_shape;

static inline uint32_t ck_seed_length(ck_seed_shape shape) { return 15 + shape.window + 2 * shape.extension; }

// Finds the seeds of `count` codes (at most CK_SEED_CHUNK). `keys[i]` is a 64-bit hash of the canonical seed whose bit
// 0 is the strand (1: the reverse complement is canonical), `offsets[i]` its first base. Seeds with an N and
// palindromes are left out. Returns the number of seeds; both arrays need room for `count` + 16.
size_t ck_find_seeds(const uint8_t *codes, size_t count, ck_seed_shape shape, uint64_t *keys, uint32_t *offsets);

// Seeds of `count` codes whose last bases, at most `extension`, lie outside of them: every seed that the missing bases
// could make, but for those whose window is a palindrome. `offsets` may be less than 0, as the two's complement. Both
// arrays need room for CK_EDGE_SEEDS.
size_t ck_find_edge_seeds(
    const uint8_t *codes, size_t count, ck_seed_shape shape, uint64_t *keys, uint32_t *offsets);
#define CK_EDGE_SEEDS 1024

#define CK_SUBSTITUTIONS 8
#define CK_SUBSTITUTED_SEEDS 2048

// The seeds over each of up to CK_SUBSTITUTIONS places, were its base another one: any of the other three, or of the
// four in place of an N. Both arrays need room for CK_SUBSTITUTED_SEEDS.
size_t ck_find_substituted_seeds(
    const uint8_t *codes, size_t count, ck_seed_shape shape, const uint32_t *places, size_t place_count, uint64_t *keys,
    uint32_t *offsets);

#define CK_BUCKET_SLOTS 10
#define CK_GROUP_BUCKETS 65536u

// One cache line. A slot holds a seed's only position, or the index of its list when its bit of `flags` is set.
typedef struct {
    uint32_t places[CK_BUCKET_SLOTS];
    uint16_t prints[CK_BUCKET_SLOTS];  // 15 bits of hash, then the strand bit
    uint32_t flags;                    // bits 0..9 list, bit 10 overflow, bits 16..19 slots in use
} ck_bucket;

// Lists: count, number of forward places, then the places, forward ones first, each ascending.
typedef struct {
    const ck_bucket *buckets;
    const uint32_t *lists;
    uint32_t bucket_count;
} ck_seed_table;

static inline uint32_t ck_bucket_of(uint64_t key, uint32_t bucket_count) {
    return (uint32_t)(((key >> 32) * bucket_count) >> 32);
}

// What a lookup finds: 0 for nothing, else bit 0 set, bit 1 "list", bit 2 the strand of the place against the seed, and
// the place or list index from bit 32 on.
#define CK_FOUND 1ull
#define CK_FOUND_LIST 2ull
#define CK_FOUND_REVERSE 4ull

// Looks up all keys; many at a time are dear only in page walks, so that they are taken in order of the table's memory.
// `order` is scratch for `count` words.
void ck_look_up_seeds(
    const ck_seed_table *table, const uint64_t *keys, size_t count, uint64_t *found, uint32_t *order);

// Asks for the lists among what was found.
void ck_prefetch_lists(const ck_seed_table *table, const uint64_t *found, size_t count);

// Entries for building: bits 33..63 are the bucket within its group and the print, bit 32 the strand, the rest the
// place.
static inline uint64_t ck_seed_entry(uint64_t key, uint32_t bucket_count, uint32_t place) {
    uint64_t bucket = ck_bucket_of(key, bucket_count) % CK_GROUP_BUCKETS;
    return bucket << 48 | ((key >> 1) & 0x7FFF) << 33 | (key & 1) << 32 | place;
}

// Sorts `count` 64-bit words by their bits from `from_bit` (a multiple of 8) on, ascending; words that agree there keep
// their order. `scratch` has the same size.
void ck_sort_words(uint64_t *words, uint64_t *scratch, size_t count, unsigned from_bit);

// Number of 32-bit words that the lists of these sorted entries need; places beyond `list_limit` per seed are not kept.
size_t ck_count_list_words(const uint64_t *entries, size_t count, uint32_t list_limit);

// Fills the `bucket_count` buckets of one group (zeroed by the caller) from sorted entries. `lists` is where this
// group's lists go, `list_base` its index in the whole array. Returns the list words written.
size_t ck_fill_group(
    const uint64_t *entries, size_t count, uint32_t list_limit, ck_bucket *buckets, uint32_t bucket_count,
    uint32_t *lists, uint32_t list_base);

// One diagonal of a read on the reference that at least one seed supports.
typedef struct {
    uint32_t start;    // place of the read's first base (of the reverse complement, when strand is 1)
    uint16_t strand;
    uint16_t seeds;    // seeds on the diagonal
} ck_diagonal;

#define CK_REPETITIVE 500  // bwa mem's limit

typedef struct {
    uint32_t diagonals;    // written
    uint32_t frequent;     // seeds that were left out for having more than `list_cap` places
    uint32_t repetitive;   // those of them with more than CK_REPETITIVE places
    uint32_t informative;  // disjoint seeds among those that were not left out
} ck_seed_summary;

// From looked-up seeds to diagonals, sorted by strand and start. `scratch` needs 2 * capacity words.
ck_seed_summary ck_collect_diagonals(
    const ck_seed_table *table, const uint64_t *keys, const uint64_t *found, const uint32_t *offsets, size_t count,
    uint32_t read_length, uint32_t seed_length, uint32_t list_cap, ck_diagonal *diagonals, size_t capacity,
    uint64_t *scratch);

#endif

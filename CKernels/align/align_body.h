// Bodies of the alignment kernels, compiled once per instruction set: align_portable.c and align_avx2.c define
// CK_VARIANT(name) and include this.

#define MATCH 1
#define MISMATCH 4
#define AMBIGUOUS 1
#define GAP_OPEN 6
#define CLIP 5

// 64 bases of one plane from `place` on.
static inline uint64_t CK_VARIANT(plane_at)(const uint64_t *planes, uint32_t place, int plane) {
    const uint64_t *block = planes + (size_t)(place >> 6) * 3 + plane;
    unsigned shift = place & 63;
    return block[0] >> shift | block[3] << 1 << (63 - shift);
}

// One bit per base that differs; `ambiguous` gets those that are N on either side. Returns whether there is any N.
static inline int CK_VARIANT(mismatches)(
    const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length, uint64_t *mask,
    uint64_t *ambiguous) {
    uint32_t words = (length + 63) / 64;
    uint64_t any = 0;
    for (uint32_t word = 0; word < words; word++) {
        uint32_t place = start + 64 * word;
        uint64_t other = CK_VARIANT(plane_at)(reference, place, 2) | read[3 * word + 2];
        uint64_t differ = (CK_VARIANT(plane_at)(reference, place, 0) ^ read[3 * word]) |
            (CK_VARIANT(plane_at)(reference, place, 1) ^ read[3 * word + 1]);
        uint64_t valid = length - 64 * word >= 64 ? ~0ull : (1ull << (length - 64 * word)) - 1;
        mask[word] = (differ | other) & valid;
        ambiguous[word] = other & valid;
        any |= ambiguous[word];
    }
    return any != 0;
}

typedef struct {
    int32_t score;
    uint32_t from, to;
} CK_VARIANT(stretch);

// The stretch of the read with the best score, given its mismatches.
static inline CK_VARIANT(stretch) CK_VARIANT(best_stretch)(
    const uint64_t *mask, const uint64_t *ambiguous, uint32_t length) {
    uint32_t words = (length + 63) / 64;
    int32_t current = CLIP, best = 0;
    uint32_t from = 0, previous = 0, best_from = 0, best_to = 0;
    for (uint32_t word = 0; word < words; word++) {
        for (uint64_t bits = mask[word]; bits; bits &= bits - 1) {
            uint32_t position = 64 * word + (uint32_t)__builtin_ctzll(bits);
            current += (int32_t)(position - previous) * MATCH;
            if (current > best) {
                best = current;
                best_from = from;
                best_to = position;
            }
            current -= (ambiguous[word] & bits & -bits) ? AMBIGUOUS : MISMATCH;
            previous = position + 1;
            if (current <= 0) {
                current = 0;
                from = previous;
            }
        }
    }
    current += (int32_t)(length - previous) * MATCH + CLIP;
    if (current > best && from < length) {
        best = current;
        best_from = from;
        best_to = length;
    }
    return (CK_VARIANT(stretch)){best - 2 * CLIP, best_from, best_to};
}

static inline uint32_t CK_VARIANT(count_between)(const uint64_t *mask, uint32_t from, uint32_t to) {
    uint32_t count = 0;
    for (uint32_t word = from / 64; word * 64 < to; word++) {
        uint64_t bits = mask[word];
        if (word * 64 < from) bits &= ~0ull << (from - word * 64);
        if (word * 64 + 64 > to) bits &= (1ull << (to - word * 64)) - 1;
        count += (uint32_t)__builtin_popcountll(bits);
    }
    return count;
}

ck_alignment CK_VARIANT(ck_score_diagonal)(
    const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length) {
    uint64_t mask[8], ambiguous[8];
    CK_VARIANT(mismatches)(reference, start, read, length, mask, ambiguous);
    CK_VARIANT(stretch) best = CK_VARIANT(best_stretch)(mask, ambiguous, length);
    ck_alignment result;
    result.score = best.score;
    result.start = start + best.from;
    result.end = start + best.to;
    result.clip_left = (uint16_t)best.from;
    result.clip_right = (uint16_t)(length - best.to);
    result.edits = best.to > best.from ? (uint16_t)CK_VARIANT(count_between)(mask, best.from, best.to) : 0;
    result.cigar_count = 0;
    return result;
}

// Best stretch that begins exactly at `from` and goes right, the clip bonus included when it reaches the end. Gives up
// (a low score) once `other_side` plus the rest cannot pass `needed`. `to` gets its end.
static inline int32_t CK_VARIANT(walk_right)(
    const uint64_t *mask, uint32_t from, uint32_t length, int32_t other_side, int32_t needed, uint32_t *to) {
    int32_t current = 0, best = 0;
    uint32_t previous = from;
    *to = from;
    for (uint32_t word = from / 64; 64 * word < length; word++) {
        uint64_t bits = mask[word];
        if (word == from / 64) bits &= ~0ull << (from & 63);
        for (; bits; bits &= bits - 1) {
            uint32_t position = 64 * word + (uint32_t)__builtin_ctzll(bits);
            current += (int32_t)(position - previous) * MATCH;
            if (current > best) {
                best = current;
                *to = position;
            }
            current -= MISMATCH;
            previous = position + 1;
            if (other_side + current + (int32_t)(length - previous) + CLIP <= needed) return best;
        }
    }
    current += (int32_t)(length - previous) * MATCH + CLIP;
    if (current <= best) return best;
    *to = length;
    return current;
}

// The mirror image: a stretch that ends exactly before `to` and goes left.
static inline int32_t CK_VARIANT(walk_left)(
    const uint64_t *mask, uint32_t to, int32_t other_side, int32_t needed, uint32_t *from) {
    int32_t current = 0, best = 0;
    uint32_t previous = to;
    *from = to;
    if (to == 0) return CLIP;
    for (int32_t word = (int32_t)((to - 1) / 64); word >= 0; word--) {
        uint64_t bits = mask[word];
        if (word == (int32_t)((to - 1) / 64)) bits &= ~0ull >> (63 - ((to - 1) & 63));
        while (bits) {
            uint32_t bit = 63 - (uint32_t)__builtin_clzll(bits), position = 64 * (uint32_t)word + bit;
            bits ^= 1ull << bit;
            current += (int32_t)(previous - position - 1) * MATCH;
            if (current > best) {
                best = current;
                *from = position + 1;
            }
            current -= MISMATCH;
            previous = position;
            if (other_side + current + (int32_t)previous + CLIP <= needed) return best;
        }
    }
    current += (int32_t)previous * MATCH + CLIP;
    if (current <= best) return best;
    *from = 0;
    return current;
}

// Mismatches of the main diagonal, with the best stretch that ends before each and the best that begins after each.
typedef struct {
    uint32_t count;
    uint16_t place[CK_MAX_READ];
    int16_t before[CK_MAX_READ], after[CK_MAX_READ];
} CK_VARIANT(breaks);

static void CK_VARIANT(find_breaks)(const uint64_t *mask, uint32_t length, CK_VARIANT(breaks) *breaks) {
    uint32_t words = (length + 63) / 64, count = 0, previous = 0;
    int32_t current = CLIP;
    for (uint32_t word = 0; word < words; word++) {
        for (uint64_t bits = mask[word]; bits; bits &= bits - 1) {
            uint32_t position = 64 * word + (uint32_t)__builtin_ctzll(bits);
            current += (int32_t)(position - previous) * MATCH;
            breaks->place[count] = (uint16_t)position;
            breaks->before[count++] = (int16_t)current;
            current -= MISMATCH;
            if (current < 0) current = 0;
            previous = position + 1;
        }
    }
    breaks->count = count;
    current = CLIP;
    previous = length;
    for (uint32_t i = count; i-- > 0;) {
        current += (int32_t)(previous - breaks->place[i] - 1) * MATCH;
        breaks->after[i] = (int16_t)current;
        current -= MISMATCH;
        if (current < 0) current = 0;
        previous = breaks->place[i];
    }
}

// A gap between the main diagonal and the one `by` bases to its right, at the break with index `at`. `main_first` says
// that the read's left part lies on the main diagonal.
typedef struct {
    int32_t score, by;
    uint32_t at;
    int main_first;
} CK_VARIANT(gap);

// Tries the gap `by` at every break; keeps the best in `gap`, whose score includes both clip bonuses.
static void CK_VARIANT(try_gap)(
    const CK_VARIANT(breaks) *breaks, const uint64_t *shifted, uint32_t length, int32_t by, int main_first,
    CK_VARIANT(gap) *gap) {
    uint32_t distance = (uint32_t)(by < 0 ? -by : by), end;
    int32_t cost = GAP_OPEN + (int32_t)distance;
    uint32_t left_skip = by < 0 ? distance : 0, right_skip = by > 0 ? distance : 0;
    for (uint32_t i = 0; i < breaks->count; i++) {
        uint32_t place = breaks->place[i];
        int32_t score = INT32_MIN;
        // Both parts hold bases: a gap at the end of an alignment is none.
        if (main_first) {
            uint32_t from = place + left_skip;
            int32_t side = breaks->before[i] - cost;
            if (place == 0 || breaks->before[i] <= 0) continue;
            if (from < length && side + (int32_t)(length - from) + CLIP > gap->score) {
                int32_t part = CK_VARIANT(walk_right)(shifted, from, length, side, gap->score, &end);
                if (part > 0) score = side + part;
            }
        } else {
            int32_t side = breaks->after[i] - cost;
            if (place + 1 == length || breaks->after[i] <= 0) continue;
            if (place + 1 > right_skip && side + (int32_t)(place + 1 - right_skip) + CLIP > gap->score) {
                int32_t part = CK_VARIANT(walk_left)(shifted, place + 1 - right_skip, side, gap->score, &end);
                if (part > 0) score = side + part;
            }
        }
        if (score > gap->score) *gap = (CK_VARIANT(gap)){score, by, i, main_first};
    }
}

// The part of the read that a gap has to bring to another diagonal, at either end: from `right_from` on, and up to
// `left_to`. Gaps farther in cannot pay, because what lies outside costs no more than a gap on the main diagonal, or
// are within four bases of where the main diagonal's best stretch ends.
typedef struct {
    int32_t right_from, left_to;
} CK_VARIANT(ends);

static CK_VARIANT(ends) CK_VARIANT(find_ends)(
    const CK_VARIANT(breaks) *breaks, uint32_t length, CK_VARIANT(stretch) best) {
    CK_VARIANT(ends) ends = {(int32_t)length, 0};
    for (uint32_t i = breaks->count; i-- > 0;) {
        int32_t kept = breaks->after[i] > MISMATCH ? breaks->after[i] - MISMATCH : 0;
        if ((int32_t)(length - breaks->place[i]) + CLIP - kept <= GAP_OPEN + 1) continue;
        ends.right_from = breaks->place[i];
        break;
    }
    for (uint32_t i = 0; i < breaks->count; i++) {
        int32_t kept = breaks->before[i] > MISMATCH ? breaks->before[i] - MISMATCH : 0;
        if (breaks->place[i] + 1 + CLIP - kept <= GAP_OPEN + 1) continue;
        ends.left_to = breaks->place[i] + 1;
        break;
    }
    if ((int32_t)best.to + 4 < ends.right_from) ends.right_from = (int32_t)best.to + 4;
    if ((int32_t)best.from - 4 > ends.left_to) ends.left_to = (int32_t)best.from - 4;
    return ends;
}

#define PROBE 32            // bases that a gap's far side is judged by
#define PROBE_MISMATCHES 8  // with more of them it does not pay

// Mismatches of 32 bases next to each end of the main diagonal's part, by the size of the gap less one. `cost` is what
// the gap would cost with them.
typedef struct {
    uint32_t mismatches[CK_MAX_REACH], cost[CK_MAX_REACH];
    int32_t direction;  // of the other diagonal
    int main_first;
} CK_VARIANT(probe);

// One side, one direction. Bases of `moving` at distance d + 1, less `turn` bits, meet `fixed`; of the 32 bits those in
// `valid`, which loses a bit at the end it moves to with each step when `shrinks`.
static inline void CK_VARIANT(probe_side)(
    CK_VARIANT(probe) *probe, const uint64_t *moving, const uint64_t *fixed, int is_right, int is_insertion,
    uint32_t room) {
    uint64_t first[3] = {moving[0], moving[1], moving[2]};
    uint64_t low = is_right ? fixed[0] : fixed[0] >> 31, high = is_right ? fixed[1] : fixed[1] >> 31;
    uint64_t other = is_right ? fixed[2] : fixed[2] >> 31;
    uint64_t turn = is_right ? 1 : 30;
    int64_t step = is_right ? 1 : -1;
    for (uint64_t i = 0; i < CK_MAX_REACH; i++) {
        uint64_t shift = turn + (uint64_t)(step * (int64_t)i);
        uint64_t differ = ((first[0] >> shift) ^ low) | ((first[1] >> shift) ^ high) | (first[2] >> shift) | other;
        // Bases of the read that lie in the window.
        uint64_t left = is_insertion ? (room > i + 1 ? room - i - 1 : 0) : room;
        left = left < PROBE ? left : PROBE;
        uint64_t valid = is_right ? (1ull << left) - 1 : ((1ull << left) - 1) << (PROBE - left);
        uint64_t mismatches = (uint64_t)__builtin_popcountll(differ & valid & 0xFFFFFFFF);
        probe->mismatches[i] = (uint32_t)mismatches;
        probe->cost[i] = (uint32_t)(GAP_OPEN + (i + 1) * (is_insertion ? 2 : 1) + (MATCH + MISMATCH) * mismatches);
    }
    probe->main_first = is_right;
    probe->direction = is_right == is_insertion ? -1 : 1;
}

// Tries the shifts of -`reach` to `reach`: first the one on which each end of the read fits best, then those that the
// probes do not refuse.
static void CK_VARIANT(try_near_shifts)(
    const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length, uint32_t reach,
    const CK_VARIANT(breaks) *breaks, CK_VARIANT(ends) ends, CK_VARIANT(gap) *gap) {
    // The read with a block of room on either side.
    uint64_t padded[3 * (CK_READ_WORDS / 3 + 2)] = {0};
    uint32_t words = (length + 63) / 64;
    memcpy(padded + 3, read, 3 * words * sizeof *read);
    CK_VARIANT(probe) probes[4];
    int count = 0;
    if (ends.right_from < (int32_t)length) {
        uint32_t place = (uint32_t)ends.right_from;
        uint64_t of_read[3], of_reference[3];
        for (int plane = 0; plane < 3; plane++) {
            of_read[plane] = CK_VARIANT(plane_at)(padded, 64 + place, plane);
            of_reference[plane] = CK_VARIANT(plane_at)(reference, start + place, plane);
        }
        CK_VARIANT(probe_side)(&probes[count++], of_reference, of_read, 1, 0, length - place);
        CK_VARIANT(probe_side)(&probes[count++], of_read, of_reference, 1, 1, length - place);
    }
    if (ends.left_to > 0) {
        uint32_t place = (uint32_t)ends.left_to;
        uint64_t of_read[3], of_reference[3];
        for (int plane = 0; plane < 3; plane++) {
            of_read[plane] = CK_VARIANT(plane_at)(padded, 64 + place - 63, plane);
            of_reference[plane] = CK_VARIANT(plane_at)(reference, start + place - 63, plane);
        }
        CK_VARIANT(probe_side)(&probes[count++], of_reference, of_read, 0, 0, place);
        CK_VARIANT(probe_side)(&probes[count++], of_read, of_reference, 0, 1, place);
    }
    uint32_t best[4];
    for (int p = 0; p < count; p++) {
        best[p] = 0;
        for (uint32_t i = 1; i < reach; i++) {
            if (probes[p].cost[i] < probes[p].cost[best[p]]) best[p] = i;
        }
    }
    uint64_t shifted[8], ambiguous[8];
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < (round == 0 ? 1 : reach); i++) {
            for (int p = 0; p < count; p++) {
                uint32_t size = round == 0 ? best[p] : i;
                // What a placement may cost to score more than the best one so far.
                int32_t limit = (int32_t)length + 2 * CLIP - gap->score;
                if (probes[p].mismatches[size] > PROBE_MISMATCHES || (int32_t)probes[p].cost[size] >= limit) continue;
                int32_t by = probes[p].direction * (int32_t)(size + 1);
                CK_VARIANT(mismatches)(reference, start + (uint32_t)by, read, length, shifted, ambiguous);
                CK_VARIANT(try_gap)(breaks, shifted, length, by, probes[p].main_first, gap);
            }
        }
    }
}

static inline int CK_VARIANT(bit_of)(const uint64_t *mask, uint32_t place) {
    return mask[place / 64] >> (place & 63) & 1;
}

// The alignment with a gap that was found, its gap moved to the leftmost equivalent place.
static ck_alignment CK_VARIANT(write_gap)(
    const uint64_t *main, const uint64_t *shifted, uint32_t start, uint32_t length, const CK_VARIANT(gap) *gap,
    uint32_t place, uint32_t *cigar) {
    const uint64_t *left = gap->main_first ? main : shifted, *right = gap->main_first ? shifted : main;
    int32_t step = gap->main_first ? gap->by : -gap->by;
    uint32_t left_start = gap->main_first ? start : start + (uint32_t)gap->by;
    uint32_t distance = (uint32_t)(step < 0 ? -step : step), inserted = step < 0 ? distance : 0;
    uint32_t split = gap->main_first ? place : place + 1 - inserted, from, to;
    CK_VARIANT(walk_left)(left, split, 1 << 20, 0, &from);
    CK_VARIANT(walk_right)(right, split + inserted, length, 1 << 20, 0, &to);
    while (split > from + 1 && !CK_VARIANT(bit_of)(left, split - 1) &&
           !CK_VARIANT(bit_of)(right, split - 1 + inserted)) {
        split--;
    }
    ck_alignment result;
    result.score = gap->score - 2 * CLIP;
    result.start = left_start + from;
    result.end = left_start + (uint32_t)step + to;
    result.clip_left = (uint16_t)from;
    result.clip_right = (uint16_t)(length - to);
    result.edits = (uint16_t)(CK_VARIANT(count_between)(left, from, split) +
        CK_VARIANT(count_between)(right, split + inserted, to) + distance);
    uint32_t count = 0;
    if (from > 0) cigar[count++] = from << 4 | 4;
    cigar[count++] = (split - from) << 4;
    cigar[count++] = distance << 4 | (step < 0 ? 1 : 2);
    cigar[count++] = (to - split - inserted) << 4;
    if (to < length) cigar[count++] = (length - to) << 4 | 4;
    result.cigar_count = (uint16_t)count;
    return result;
}

ck_alignment CK_VARIANT(ck_align_one_gap)(
    const uint64_t *reference, uint32_t start, const uint64_t *read, uint32_t length, int32_t least, uint32_t reach,
    const int32_t *more, uint32_t more_count, uint32_t *cigar) {
    ck_alignment none = {INT32_MIN, start, start, 0, 0, 0, 0};
    uint64_t mask[8], ambiguous[8], shifted[8];
    CK_VARIANT(breaks) breaks;
    CK_VARIANT(mismatches)(reference, start, read, length, mask, ambiguous);
    CK_VARIANT(find_breaks)(mask, length, &breaks);
    CK_VARIANT(ends) ends = CK_VARIANT(find_ends)(
        &breaks, length, CK_VARIANT(best_stretch)(mask, ambiguous, length));
    CK_VARIANT(gap) gap = {least + 2 * CLIP, 0, 0, 0};
    if (reach > 0) CK_VARIANT(try_near_shifts)(reference, start, read, length, reach, &breaks, ends, &gap);
    for (uint32_t i = 0; i < more_count; i++) {
        CK_VARIANT(mismatches)(reference, start + (uint32_t)more[i], read, length, shifted, ambiguous);
        CK_VARIANT(try_gap)(&breaks, shifted, length, more[i], 1, &gap);
        CK_VARIANT(try_gap)(&breaks, shifted, length, more[i], 0, &gap);
    }
    if (gap.by == 0) return none;
    CK_VARIANT(mismatches)(reference, start + (uint32_t)gap.by, read, length, shifted, ambiguous);
    return CK_VARIANT(write_gap)(mask, shifted, start, length, &gap, breaks.place[gap.at], cigar);
}

uint32_t CK_VARIANT(ck_scan_diagonals)(
    const uint64_t *reference, uint32_t from, uint32_t count, const uint64_t *read, uint32_t length, uint32_t run,
    uint32_t *starts, int32_t *scores) {
    uint32_t results = 0, words = (length + 63) / 64;
    for (uint32_t block = 0; block < count; block += 64) {
        uint64_t runs[64] = {0};
        for (uint32_t word = 0; word < words; word++) {
            uint64_t valid = length - 64 * word >= 64 ? ~0ull : (1ull << (length - 64 * word)) - 1;
            uint32_t place = from + block + 64 * word;
            uint64_t low0 = CK_VARIANT(plane_at)(reference, place, 0);
            uint64_t high0 = CK_VARIANT(plane_at)(reference, place + 64, 0);
            uint64_t low1 = CK_VARIANT(plane_at)(reference, place, 1);
            uint64_t high1 = CK_VARIANT(plane_at)(reference, place + 64, 1);
            uint64_t low2 = CK_VARIANT(plane_at)(reference, place, 2);
            uint64_t high2 = CK_VARIANT(plane_at)(reference, place + 64, 2);
            uint64_t read0 = read[3 * word], read1 = read[3 * word + 1], read2 = ~read[3 * word + 2] & valid;
            for (uint64_t lane = 0; lane < 64; lane++) {
                uint64_t differ = ((low0 >> lane | high0 << 1 << (63 - lane)) ^ read0) |
                    ((low1 >> lane | high1 << 1 << (63 - lane)) ^ read1) | (low2 >> lane | high2 << 1 << (63 - lane));
                // A bit stays where as many matches follow in this word.
                uint64_t same = ~differ & read2;
                same &= same >> 1;
                same &= same >> 2;
                same &= same >> 4;
                runs[lane] |= same & same >> (run - 8);
            }
        }
        uint32_t here = count - block < 64 ? count - block : 64;
        for (uint32_t lane = 0; lane < here; lane++) {
            if (!runs[lane]) continue;
            uint32_t place = from + block + lane;
            int32_t score = CK_VARIANT(ck_score_diagonal)(reference, place, read, length).score;
            uint32_t rank = results;
            while (rank > 0 && scores[rank - 1] < score) rank--;
            if (rank == CK_SCAN_RESULTS) continue;
            if (results < CK_SCAN_RESULTS) results++;
            for (uint32_t i = results - 1; i > rank; i--) {
                starts[i] = starts[i - 1];
                scores[i] = scores[i - 1];
            }
            starts[rank] = place;
            scores[rank] = score;
        }
    }
    return results;
}

#include "align_band_body.h"

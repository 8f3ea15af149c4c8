// Dynamic programming over a band of diagonals; the second part of align_body.h, which includes this.

// Direction byte of one cell: the stretch over match and insertion came from the insertion; the cell is a deletion; the
// alignment begins here; the insertion goes on; the deletion goes on.
enum {
    CK_VARIANT(FROM_INSERTION) = 1, CK_VARIANT(FROM_DELETION) = 2, CK_VARIANT(FRESH) = 4,
    CK_VARIANT(INSERTION_ON) = 8, CK_VARIANT(DELETION_ON) = 16
};

#define LANES_PAD 128
#define LOWEST (-16000)

typedef struct {
    int16_t match[CK_MAX_LANES + 32], insertion[CK_MAX_LANES + 32];
    int16_t both[CK_MAX_LANES + LANES_PAD], scan[2][CK_MAX_LANES + LANES_PAD];
    int16_t best[CK_MAX_LANES], best_row[CK_MAX_LANES];
} CK_VARIANT(band);

// The parts of a row of the band are functions of their own, so that `restrict` tells the compiler what it cannot see:
// that the arrays of one band do not overlap.

// Match and insertion: read base `base` against `window[0 ..< lanes]`.
static inline void CK_VARIANT(stretch_row)(
    const int16_t *restrict match, int16_t *restrict insertion, int16_t *restrict both, const uint8_t *restrict window,
    uint8_t base, int16_t begin, uint32_t lanes, uint8_t *restrict directions) {
    for (uint32_t d = 0; d < lanes; d++) {
        int16_t previous = match[d];
        int16_t above = (int16_t)(match[d + 1] - GAP_OPEN - 1), going = (int16_t)(insertion[d + 1] - 1);
        int16_t weight = window[d] == base ? MATCH : -MISMATCH;
        weight = (window[d] | base) & 4 ? -AMBIGUOUS : weight;
        int16_t fresh = begin >= previous;
        int16_t diagonal = (int16_t)((fresh ? begin : previous) + weight);
        int16_t inserted = above > going ? above : going;
        int16_t from_insertion = inserted > diagonal;
        both[d] = from_insertion ? inserted : diagonal;
        insertion[d] = inserted;
        directions[d] = (uint8_t)(from_insertion * CK_VARIANT(FROM_INSERTION) + fresh * CK_VARIANT(FRESH) +
            (int16_t)(going > above) * CK_VARIANT(INSERTION_ON));
    }
}

static inline void CK_VARIANT(scan_step)(
    const int16_t *restrict from, int16_t *restrict to, int32_t step, uint32_t lanes) {
    for (int32_t d = 0; d < (int32_t)lanes; d++) {
        int16_t earlier = (int16_t)(from[d - step] - (int16_t)step);
        to[d] = from[d] > earlier ? from[d] : earlier;
    }
}

static inline void CK_VARIANT(whole_row)(
    const int16_t *restrict both, const int16_t *restrict deletion, int16_t *restrict match, int16_t *restrict best,
    int16_t *restrict best_row, int16_t row, uint32_t lanes, uint8_t *restrict directions) {
    for (int32_t d = 0; d < (int32_t)lanes; d++) {
        int16_t deleted = deletion[d], plain = both[d];
        int16_t from_deletion = deleted > plain;
        int16_t on = deleted > (int16_t)(both[d - 1] - GAP_OPEN - 1);
        int16_t value = from_deletion ? deleted : plain;
        directions[d] |= (uint8_t)(from_deletion * CK_VARIANT(FROM_DELETION) + on * CK_VARIANT(DELETION_ON));
        match[d] = value;
        int16_t better = value > best[d];
        best[d] = better ? value : best[d];
        best_row[d] = better ? row : best_row[d];
    }
}

static inline void CK_VARIANT(band_row)(
    CK_VARIANT(band) *band, const uint8_t *window, uint8_t base, int16_t row, int16_t begin, uint32_t lanes,
    uint8_t *directions) {
    int16_t *both = band->both + LANES_PAD;
    CK_VARIANT(stretch_row)(band->match, band->insertion, both, window, base, begin, lanes, directions);
    // Deletions: the prefix maximum of `both` less the gap costs, by doubling.
    int16_t *from = band->scan[0] + LANES_PAD, *to = band->scan[1] + LANES_PAD;
    for (uint32_t d = 0; d < lanes; d++) from[d] = (int16_t)(both[(int32_t)d - 1] - GAP_OPEN - 1);
    for (uint32_t step = 1; step < lanes; step *= 2) {
        CK_VARIANT(scan_step)(from, to, (int32_t)step, lanes);
        int16_t *swap = from;
        from = to;
        to = swap;
    }
    CK_VARIANT(whole_row)(both, from, band->match, band->best, band->best_row, row, lanes, directions);
}

// Walks back from (row, lane); writes operations last first, clips excluded. Returns their number, 0 if too many.
static uint32_t CK_VARIANT(trace_back)(
    const uint8_t *directions, uint32_t lanes, int32_t row, int32_t lane, uint32_t *reversed, int32_t *first_row,
    int32_t *first_lane) {
    enum { WHOLE, MATCH_OR_INSERTION, INSERTION, DELETION } state = WHOLE;
    uint32_t count = 0;
    for (;;) {
        uint8_t cell = directions[(size_t)row * lanes + (size_t)lane];
        if (state == WHOLE) state = cell & CK_VARIANT(FROM_DELETION) ? DELETION : MATCH_OR_INSERTION;
        if (state == MATCH_OR_INSERTION && cell & CK_VARIANT(FROM_INSERTION)) state = INSERTION;
        uint32_t kind = state == DELETION ? 2 : state == INSERTION ? 1 : 0;
        if (count > 0 && (reversed[count - 1] & 0xF) == kind) {
            reversed[count - 1] += 1u << 4;
        } else {
            if (count == CK_MAX_CIGAR - 2) return 0;
            reversed[count++] = 1u << 4 | kind;
        }
        if (state == DELETION) {
            state = cell & CK_VARIANT(DELETION_ON) ? DELETION : MATCH_OR_INSERTION;
            lane--;
            if (lane < 0) return 0;
        } else if (state == INSERTION) {
            state = cell & CK_VARIANT(INSERTION_ON) ? INSERTION : WHOLE;
            row--;
            lane++;
            if (row < 0 || lane >= (int32_t)lanes) return 0;
        } else {
            if (cell & CK_VARIANT(FRESH)) break;
            state = WHOLE;
            row--;
            if (row < 0) return 0;
        }
    }
    *first_row = row;
    *first_lane = lane;
    return count;
}

// Moves every gap that lies between two matches to its leftmost equivalent place. `read` and `window` point at the
// first aligned bases.
static void CK_VARIANT(left_align)(uint32_t *cigar, uint32_t count, const uint8_t *read, const uint8_t *window) {
    uint32_t q = 0, r = 0;
    for (uint32_t k = 0; k < count; k++) {
        uint32_t kind = cigar[k] & 0xF, length = cigar[k] >> 4;
        if (kind != 0 && k > 0 && k + 1 < count && (cigar[k - 1] & 0xF) == 0 && (cigar[k + 1] & 0xF) == 0) {
            uint32_t moved = 0, room = (cigar[k - 1] >> 4) - 1;
            const uint8_t *bases = kind == 2 ? window + r : read + q;
            while (moved < room && bases[-1 - (int32_t)moved] == bases[(int32_t)length - 1 - (int32_t)moved]) moved++;
            cigar[k - 1] -= moved << 4;
            cigar[k + 1] += moved << 4;
            q -= moved;
            r -= moved;
        }
        if (kind != 2) q += length;
        if (kind != 1) r += length;
    }
}

ck_alignment CK_VARIANT(ck_align_banded)(
    const uint64_t *reference, uint32_t first, uint32_t lanes, const uint8_t *codes, uint32_t length, uint32_t *cigar,
    uint8_t *scratch) {
    ck_alignment none = {INT32_MIN, first, first, 0, 0, 0, 0};
    uint8_t window[CK_MAX_READ + CK_MAX_LANES + 64];
    CK_VARIANT(band) band;
    ck_unpack_planes(reference, first, length + lanes, window);
    for (uint32_t d = 0; d < CK_MAX_LANES + 32; d++) band.match[d] = band.insertion[d] = LOWEST;
    for (uint32_t d = 0; d < CK_MAX_LANES + LANES_PAD; d++) {
        band.both[d] = band.scan[0][d] = band.scan[1][d] = LOWEST;
    }
    for (uint32_t d = 0; d < lanes; d++) {
        band.best[d] = 0;
        band.best_row[d] = -1;
    }
    for (uint32_t row = 0; row < length; row++) {
        CK_VARIANT(band_row)(
            &band, window + row, codes[row], (int16_t)row, row == 0 ? CLIP : 0, lanes, scratch + (size_t)row * lanes);
    }
    // Best end: the last row earns the clip bonus; otherwise the earliest best row. Ties go to the middle of the band.
    int32_t best = 0, best_row = -1, best_lane = -1;
    for (uint32_t i = 0; i < lanes; i++) {
        uint32_t d = i & 1 ? lanes / 2 - 1 - i / 2 : lanes / 2 + i / 2;
        if (band.best[d] > best || (band.best[d] == best && best_row > band.best_row[d] && band.best_row[d] >= 0)) {
            best = band.best[d];
            best_row = band.best_row[d];
            best_lane = (int32_t)d;
        }
    }
    int32_t whole = INT32_MIN, whole_lane = -1;
    for (uint32_t i = 0; i < lanes; i++) {
        uint32_t d = i & 1 ? lanes / 2 - 1 - i / 2 : lanes / 2 + i / 2;
        if (band.match[d] + CLIP > whole) {
            whole = band.match[d] + CLIP;
            whole_lane = (int32_t)d;
        }
    }
    if (whole > best) {
        best = whole;
        best_row = (int32_t)length - 1;
        best_lane = whole_lane;
    }
    if (best_lane < 0) return none;
    uint32_t reversed[CK_MAX_CIGAR];
    int32_t first_row = 0, first_lane = 0;
    uint32_t count = CK_VARIANT(trace_back)(scratch, lanes, best_row, best_lane, reversed, &first_row, &first_lane);
    if (count == 0) return none;
    uint32_t written = 0;
    if (first_row > 0) cigar[written++] = (uint32_t)first_row << 4 | 4;
    for (uint32_t k = count; k-- > 0;) cigar[written++] = reversed[k];
    const uint8_t *read_start = codes + first_row, *window_start = window + first_row + first_lane;
    uint32_t *inner = cigar + (first_row > 0);
    CK_VARIANT(left_align)(inner, count, read_start, window_start);
    uint32_t q = 0, r = 0, edits = 0;
    for (uint32_t k = 0; k < count; k++) {
        uint32_t run = inner[k] >> 4, kind = inner[k] & 0xF;
        if (kind == 0) {
            for (uint32_t j = 0; j < run; j++) {
                edits += read_start[q + j] != window_start[r + j] || read_start[q + j] > 3;
            }
        } else {
            edits += run;
        }
        if (kind != 2) q += run;
        if (kind != 1) r += run;
    }
    uint32_t right = length - (uint32_t)first_row - q;
    if (right > 0) cigar[written++] = right << 4 | 4;
    uint32_t place = first + (uint32_t)(first_row + first_lane);
    return (ck_alignment){
        best - 2 * CLIP, place, place + r, (uint16_t)first_row, (uint16_t)right, (uint16_t)edits, (uint16_t)written};
}

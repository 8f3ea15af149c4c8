// Alignment against plain search: every stretch of a diagonal, the whole dynamic programming of a band, and the score
// counted again from the CIGAR.
#include "proof.h"

#include "align/align_internal.h"

#define VARIANT(name, features)                                                                                     \
    {#name, features, ck_score_diagonal_##name, ck_align_one_gap_##name, ck_scan_diagonals_##name, ck_align_banded_##name}

static const struct {
    const char *name;
    uint32_t features;
    __typeof__(ck_score_diagonal) *diagonal;
    __typeof__(ck_align_one_gap) *one_gap;
    __typeof__(ck_scan_diagonals) *scan;
    __typeof__(ck_align_banded) *banded;
} variants[] = {
    VARIANT(portable, 0),
#if defined(__x86_64__)
    VARIANT(avx2, CK_CPU_AVX2),
    VARIANT(avx512, CK_CPU_AVX512 | CK_CPU_AVX512_VPOPCNTDQ),
#endif
    {"dispatch", 0, ck_score_diagonal, ck_align_one_gap, ck_scan_diagonals, ck_align_banded},
};

enum { CLIP = 5, GAP_OPEN = 6, PADDING = 1024, CONTIG = 2000, TOTAL = CONTIG + 2 * PADDING };
enum { PLANES, READ, CODES, CIGAR, SCRATCH };
static uint8_t genome[TOTAL];
static uint64_t *planes;

static int weight(uint8_t x, uint8_t y) { return x > 3 || y > 3 ? -1 : x == y ? 1 : -4; }
static int weight_without_n(uint8_t x, uint8_t y) { return x < 4 && x == y ? 1 : -4; }

static void make_genome(void) {
    for (size_t i = 0; i < TOTAL; i++) {
        const bool padding = i < PADDING || i >= PADDING + CONTIG;
        const bool repeat = i > PADDING + 200 && random_below(4) != 0 && i / 100 % 3 == 0;
        genome[i] = (uint8_t)(padding || random_below(200) == 0 ? 4 : repeat ? genome[i - 3] : random_below(4));
    }
    planes = (uint64_t *)(void *)place(PLANES, 8 * ck_plane_words(TOTAL), FLUSH);
    ck_pack_planes(genome, TOTAL, planes);
}

// A read of the genome from `start` on with substitutions, N and up to two gaps.
static void make_read(uint8_t *codes, size_t length, size_t start) {
    size_t at = start;
    const unsigned errors = random_below(4) == 0 ? 8 : 60;
    const size_t first_gap = random_below(2 * length + 1), second_gap = random_below(6 * length + 1);
    for (size_t i = 0; i < length; i++) {
        codes[i] = random_below(errors) == 0 ? (uint8_t)random_below(5) : genome[at];
        if (i == first_gap || i == second_gap) {
            const size_t gap = random_below(12);
            at = random_below(2) ? at + gap : at >= gap + 1 ? at - gap : at;
        } else {
            at++;
        }
    }
}

// The empty stretch at the read's first base pays one clip penalty only.
static int32_t best_stretch(const uint8_t *codes, uint32_t length, uint32_t start) {
    int32_t best = CLIP;
    for (uint32_t from = 0; from < length; from++) {
        int32_t sum = from == 0 ? CLIP : 0;
        for (uint32_t to = from; to < length; to++) {
            sum += weight(codes[to], genome[start + to]);
            const int32_t whole = sum + (to + 1 == length ? CLIP : 0);
            if (whole > best) best = whole;
        }
    }
    return best - 2 * CLIP;
}

static bool right_stretch(ck_alignment r, const uint8_t *codes, uint32_t length, uint32_t start, int32_t expected) {
    if (r.score != expected) return false;
    if (r.end == r.start) return expected == -CLIP;
    int32_t sum = 0, edits = 0;
    for (uint32_t i = r.clip_left; i < length - r.clip_right; i++) {
        sum += weight(codes[i], genome[start + i]);
        edits += weight(codes[i], genome[start + i]) < 0;
    }
    sum -= (r.clip_left > 0 ? CLIP : 0) + (r.clip_right > 0 ? CLIP : 0);
    return sum == expected && edits == r.edits && r.start == start + r.clip_left &&
           r.end == start + length - r.clip_right;
}

static bool same(ck_alignment x, ck_alignment y) {
    return x.score == y.score && x.start == y.start && x.end == y.end && x.clip_left == y.clip_left &&
           x.clip_right == y.clip_right && x.edits == y.edits && x.cigar_count == y.cigar_count;
}

// The best score with one gap between the diagonal at `start` and that at `start + by`: both orders, every
// place, with bases on either side of the gap.
static int32_t one_gap_by_search(const uint8_t *codes, uint32_t length, uint32_t start, int32_t by) {
    static int32_t ending[2][CK_MAX_READ + 1], beginning[2][CK_MAX_READ + 1];
    for (int side = 0; side < 2; side++) {
        const uint32_t place_of = start + (uint32_t)(side ? by : 0);
        int32_t current = CLIP;
        for (uint32_t i = 0; i <= length; i++) {
            ending[side][i] = current;
            if (i < length) current += weight_without_n(codes[i], genome[place_of + i]);
            if (current < 0) current = 0;
        }
        current = CLIP;
        for (uint32_t i = length + 1; i-- > 0;) {
            beginning[side][i] = current;
            if (i > 0) current += weight_without_n(codes[i - 1], genome[place_of + i - 1]);
            if (current < 0) current = 0;
        }
    }
    const uint32_t gap = (uint32_t)(by < 0 ? -by : by);
    int32_t best = INT32_MIN;
    for (int first = 0; first < 2; first++) {
        // To the right is a deletion, no read bases between; to the left an insertion of `gap` read bases.
        const uint32_t inserted = (first == 0) == (by < 0) ? gap : 0;
        for (uint32_t i = 1; i + inserted < length; i++) {
            if (ending[first][i] <= 0 || beginning[!first][i + inserted] <= 0) continue;
            const int32_t score = ending[first][i] + beginning[!first][i + inserted] - GAP_OPEN - (int32_t)gap - 2 * CLIP;
            if (score > best) best = score;
        }
    }
    return best;
}

// Dynamic programming with affine gaps over the band, three states; the best score before the clip penalties.
static int32_t band_by_definition(const uint8_t *codes, uint32_t length, uint32_t first, uint32_t lanes) {
    static int32_t h[2][CK_MAX_LANES + 1], ins[2][CK_MAX_LANES + 1];
    const int32_t never = -100000;
    int32_t best = 0;
    for (uint32_t d = 0; d <= CK_MAX_LANES; d++) h[0][d] = h[1][d] = ins[0][d] = ins[1][d] = never;
    for (uint32_t row = 0; row < length; row++) {
        const int now = row & 1, before = !now;
        int32_t deletion = never;
        for (uint32_t d = 0; d < lanes; d++) {
            const int32_t begin = row == 0 ? CLIP : 0, previous = h[before][d];
            const int32_t m = (previous > begin ? previous : begin) + weight(codes[row], genome[first + row + d]);
            const int32_t above = d + 1 < lanes ? h[before][d + 1] - GAP_OPEN - 1 : never;
            const int32_t going = d + 1 < lanes ? ins[before][d + 1] - 1 : never;
            ins[now][d] = above > going ? above : going;
            int32_t value = m > ins[now][d] ? m : ins[now][d];
            const int32_t plain = value;
            if (deletion > value) value = deletion;
            h[now][d] = value;
            deletion = (deletion > plain - GAP_OPEN ? deletion : plain - GAP_OPEN) - 1;
            if (value > best) best = value;
            if (row + 1 == length && value + CLIP > best) best = value + CLIP;
        }
    }
    return best;
}

static bool right_cigar(
    ck_alignment r, const uint32_t *cigar, const uint8_t *codes, uint32_t length, int (*weight)(uint8_t, uint8_t)) {
    uint32_t q = 0, place = r.start, edits = 0;
    int32_t sum = 0;
    for (uint32_t k = 0; k < r.cigar_count; k++) {
        const uint32_t run = cigar[k] >> 4, kind = cigar[k] & 15;
        if (run == 0) return false;
        if (kind == 4) {
            if (k != 0 && k + 1 != r.cigar_count) return false;
            if (run != (k == 0 ? r.clip_left : r.clip_right)) return false;
            sum -= CLIP;
            q += run;
        } else if (kind == 0) {
            for (uint32_t i = 0; i < run; i++, q++, place++) {
                sum += weight(codes[q], genome[place]);
                edits += weight(codes[q], genome[place]) < 0;
            }
        } else if (kind == 1 || kind == 2) {
            sum -= GAP_OPEN + (int32_t)run;
            edits += run;
            if (kind == 1) q += run;
            else place += run;
        } else {
            return false;
        }
    }
    return q == length && place == r.end && sum == r.score && edits == r.edits;
}

static void one_read(uint32_t length) {
    const uint32_t start = PADDING - 100 + (uint32_t)random_below(CONTIG + 200 - length);
    const uint32_t off = (uint32_t)random_below(3) == 0 ? (uint32_t)random_below(20) : 0;
    uint8_t *codes = place(CODES, length, FLUSH);
    make_read(codes, length, start + off);
    uint64_t *read = (uint64_t *)(void *)place(READ, 8 * ck_plane_words(length), FLUSH);
    ck_pack_planes(codes, length, read);
    const int32_t expected = best_stretch(codes, length, start), more[2] = {-40, 33};
    const uint32_t lanes = 32 * (1 + (uint32_t)random_below(8)), first = start - lanes / 2;
    const int32_t band = band_by_definition(codes, length, first, lanes);
    int32_t far_gap = expected, near_gap = expected;
    for (int i = 0; i < 2; i++) {
        const int32_t score = one_gap_by_search(codes, length, start, more[i]);
        if (score > far_gap) far_gap = score;
    }
    for (int32_t by = -8; by <= 8; by++) {
        const int32_t score = by == 0 ? expected : one_gap_by_search(codes, length, start, by);
        if (score > near_gap) near_gap = score;
    }
    ck_alignment first_banded = {0};
    uint32_t first_cigar[CK_MAX_CIGAR], first_starts[CK_SCAN_RESULTS];
    ck_alignment first_near = {0};
    uint32_t first_near_cigar[CK_MAX_CIGAR];
    int32_t first_scores[CK_SCAN_RESULTS];
    uint32_t first_found = 0;
    for (size_t v = 0; v < COUNT(variants); v++) {
        if (!available(variants[v].name, variants[v].features)) continue;
        under_test(variants[v].name, length);
        const ck_alignment diagonal = variants[v].diagonal(planes, start, read, length);
        check(right_stretch(diagonal, codes, length, start, expected), "best stretch of a diagonal");
        uint32_t *cigar = (uint32_t *)(void *)place(CIGAR, 4 * CK_MAX_CIGAR, FLUSH), near_cigar[CK_MAX_CIGAR];
        const ck_alignment far = variants[v].one_gap(planes, start, read, length, expected, 0, more, 2, cigar);
        check(far.score == (far_gap > expected ? far_gap : INT32_MIN), "best score with one of the gaps named");
        check(far.score == INT32_MIN || right_cigar(far, cigar, codes, length, weight_without_n),
              "CIGAR of a gap named");
        // Not every near gap is tried, but what is found is there.
        const ck_alignment near = variants[v].one_gap(planes, start, read, length, expected, 8, NULL, 0, cigar);
        check(near.score == INT32_MIN || (near.score > expected && near.score <= near_gap), "score with a near gap");
        check(near.score == INT32_MIN || right_cigar(near, cigar, codes, length, weight_without_n),
              "CIGAR of a near gap");
        memcpy(near_cigar, cigar, sizeof near_cigar);
        uint8_t *scratch = place(SCRATCH, (size_t)length * lanes < 100000 ? (size_t)length * lanes : 0, FLUSH);
        static uint8_t large[CK_ALIGN_SCRATCH];
        if ((size_t)length * lanes >= 100000) scratch = large;
        const ck_alignment banded = variants[v].banded(planes, first, lanes, codes, length, cigar, scratch);
        check(band <= 0 ? banded.score == INT32_MIN : banded.score == band - 2 * CLIP, "best score of the band");
        check(banded.score == INT32_MIN || right_cigar(banded, cigar, codes, length, weight),
              "score and edits of the CIGAR");
        check(untouched(CIGAR) && untouched(SCRATCH), "within its memory");
        uint32_t starts[CK_SCAN_RESULTS];
        int32_t scores[CK_SCAN_RESULTS];
        const uint32_t run = CK_SCAN_LEAST_RUN + (uint32_t)length % (CK_SCAN_MOST_RUN + 1 - CK_SCAN_LEAST_RUN);
        const uint32_t found = variants[v].scan(planes, start - 64, 200, read, length, run, starts, scores);
        bool right = found <= CK_SCAN_RESULTS;
        for (uint32_t i = 0; right && i < found; i++) {
            right &= scores[i] == best_stretch(codes, length, starts[i]) && (i == 0 || scores[i] <= scores[i - 1]);
        }
        check(right, "scores of the scan");
        if (v == 0) {
            first_banded = banded;
            first_near = near;
            memcpy(first_near_cigar, near_cigar, sizeof near_cigar);
            first_found = found;
            memcpy(first_cigar, cigar, sizeof first_cigar);
            memcpy(first_starts, starts, sizeof starts);
            memcpy(first_scores, scores, sizeof scores);
            digest(&banded.score, sizeof banded.score);
            if (banded.score != INT32_MIN) digest(cigar, 4u * banded.cigar_count);
            digest(starts, 4 * found);
            digest(&near.score, sizeof near.score);
            if (near.score != INT32_MIN) digest(near_cigar, 4u * near.cigar_count);
        } else {
            check(same(banded, first_banded) && memcmp(cigar, first_cigar, 4u * banded.cigar_count) == 0 &&
                      same(near, first_near) && memcmp(near_cigar, first_near_cigar, 4u * near.cigar_count) == 0 &&
                      found == first_found && memcmp(starts, first_starts, 4 * found) == 0 &&
                      memcmp(scores, first_scores, 4 * found) == 0,
                  "equals the reference");
        }
    }
}

void prove_align(void) {
    make_genome();
    for (uint32_t length = 1; length <= CK_MAX_READ; length++) one_read(length);
    for (int i = 0; i < 200; i++) one_read(150);
}

// The continuous health tests, sample by sample as SP 800-90B, 4.4.1 and 4.4.2 write them.
#include "proof.h"

typedef struct {
    uint32_t run, position, matches;
    uint8_t last, first;
} reference;

typedef enum { GOOD = 0, RUN = 1, PROPORTION = 2 } verdict;

// The verdicts of one sample.
static unsigned add(reference *r, uint8_t sample, uint32_t repetition, uint32_t proportion) {
    r->run = r->run > 0 && sample == r->last ? r->run + 1 : 1;
    r->last = sample;
    if (r->position == 0) {
        r->first = sample;
        r->matches = 0;
    }
    r->matches += sample == r->first;
    r->position = (r->position + 1) % CK_HEALTH_WINDOW;
    return (r->run >= repetition ? RUN : GOOD) | (r->matches >= proportion ? PROPORTION : GOOD);
}

static void stream(size_t n, unsigned alphabet, uint32_t repetition, uint32_t proportion) {
    enum { SAMPLES };
    uint8_t *samples = place(SAMPLES, n, any_alignment());
    for (size_t i = 0; i < n; i++) samples[i] = (uint8_t)random_below(alphabet);
    if (random_below(3) == 0 && n > 40) {
        const size_t length = 2 + random_below(30), from = random_below(n - length);
        memset(samples + from, samples[from], length);
    }
    ck_health state = {0};
    reference r = {0};
    under_test("portable", n);
    for (size_t done = 0; done < n;) {
        const size_t piece = 1 + random_below(n - done);
        unsigned seen = GOOD;
        uint32_t longest = 0;
        for (size_t i = 0; i < piece; i++) {
            seen |= add(&r, samples[done + i], repetition, proportion);
            if (r.run > longest) longest = r.run;
        }
        const int result = ck_health_add(&state, samples + done, piece, repetition, proportion);
        digest(&result, sizeof result);
        if (seen == GOOD) check(result == 0, "a good stretch passes");
        if (seen == RUN) check(result == (int)repetition, "a run is found");
        if (seen == PROPORTION) check(result < 0 && -result >= (int)proportion, "a frequent sample is found");
        if (seen == (RUN | PROPORTION)) check(result != 0, "a bad stretch is found");
        if (seen != GOOD) return;
        // Inside a stretch without a run the state's count is of the stretch's end; it must be the true one.
        check(state.last == r.last && state.position == r.position && state.run == r.run, "state");
        if (r.position != 0) check(state.matches == r.matches && state.first == r.first, "window");
        done += piece;
    }
}

void prove_health(void) {
    available("portable", 0);
    static const unsigned alphabets[] = {256, 16, 4, 2, 1};
    static const uint32_t repetitions[] = {2, 3, 4, 5, 8, 11, 16, 17, 31};
    for (size_t n = 1; n <= 600; n++) stream(n, 256, 5, 40);
    for (int i = 0; i < 6000; i++) {
        const size_t n = 1 + random_below(4096);
        const unsigned alphabet = alphabets[random_below(COUNT(alphabets))];
        const uint32_t repetition = repetitions[random_below(COUNT(repetitions))];
        stream(n, alphabet, repetition, (uint32_t)(2 + random_below(600)));
    }
}

#include "health_internal.h"

// Counting is done a stretch at a time, in two loops without exits that the compiler turns into vectors; only a stretch
// that holds an equal neighbour pair four samples wide is looked at sample by sample for runs.
static int repetition_test(ck_health *state, const uint8_t *x, size_t n, uint32_t cutoff) {
    uint32_t run = state->run;
    uint8_t last = state->last;
    for (size_t i = 0; i < n; i++) {
        run = run != 0 && x[i] == last ? run + 1 : 1;
        last = x[i];
        if (run >= cutoff) return (int)run;
    }
    state->run = run;
    state->last = last;
    return 0;
}

// Whether some sample equals the three after it: any longer run inside the stretch has one.
static int has_quadruple(const uint8_t *x, size_t n) {
    uint8_t found = 0;
    for (size_t i = 0; i + 3 < n; i++) {
        found |= (uint8_t)((x[i] == x[i + 1]) & (x[i] == x[i + 2]) & (x[i] == x[i + 3]));
    }
    return found;
}

static int repetitions(ck_health *state, const uint8_t *x, size_t n, uint32_t cutoff) {
    // The head joins the run of the stretch before, the tail begins the run of the stretch behind.
    enum { EDGE = 16 };
    if (n <= 2 * EDGE || cutoff < 4 || cutoff > EDGE || has_quadruple(x, n)) {
        return repetition_test(state, x, n, cutoff);
    }
    const int failed = repetition_test(state, x, EDGE, cutoff);
    if (failed != 0) return failed;
    state->run = 0;
    return repetition_test(state, x + n - EDGE, EDGE, cutoff);
}

static uint32_t count_equal(const uint8_t *x, size_t n, uint8_t value) {
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++) count += x[i] == value;
    return count;
}

int ck_health_portable(ck_health *state, const uint8_t *x, size_t n, uint32_t repetition, uint32_t proportion) {
    while (n > 0) {
        if (state->position == 0) {
            state->first = x[0];
            state->matches = 0;
        }
        const size_t rest = CK_HEALTH_WINDOW - state->position, take = n < rest ? n : rest;
        const int run = repetitions(state, x, take, repetition);
        if (run != 0) return run;
        state->matches += count_equal(x, take, state->first);
        if (state->matches >= proportion) return -(int)state->matches;
        state->position = (uint32_t)((state->position + take) % CK_HEALTH_WINDOW);
        x += take;
        n -= take;
    }
    return 0;
}

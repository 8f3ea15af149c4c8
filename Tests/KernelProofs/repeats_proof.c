// Runs of a sequence that equal it one period before: every length, period and least run, against the definition.
#include "proof.h"

static void at(size_t count, size_t period, size_t least, size_t letters) {
    enum { CODES, RUNS };
    uint8_t *codes = place(CODES, count, any_alignment());
    for (size_t i = 0; i < count; i++) {
        // Half of the pieces repeat what is one period before.
        const bool repeats = i >= period && random_below(16) < 14 && i / 97 % 2;
        codes[i] = repeats ? codes[i - period] : (uint8_t)random_below(letters);
    }
    const size_t room = count / (least + 1) + 1;
    ck_run *runs = (ck_run *)place(RUNS, room * sizeof(ck_run), 0);
    under_test("portable", count);
    const size_t found = ck_find_repeats(codes, count, period, least, runs);
    check(found <= room && untouched(RUNS) && untouched(CODES), "room");
    digest(runs, found * sizeof(ck_run));
    size_t rank = 0;
    bool right = true;
    for (size_t i = period; i < count;) {
        size_t end = i;
        while (end < count && codes[end] == codes[end - period] && codes[end] < 4) end++;
        if (end - i >= least) {
            right &= rank < found && runs[rank].first == i && runs[rank].end == end;
            rank++;
        }
        i = end + 1;
    }
    check(right && rank == found, "runs");
}

void prove_repeats(void) {
    available("portable", 0);
    for (size_t count = 0; count <= 400; count++) {
        at(count, 1 + count % 6, 3, 4);
        // One draw after the other: compilers differ in the order of arguments.
        const size_t period = 1 + random_below(CK_REPEATS_MOST);
        const size_t least = 1 + random_below(CK_REPEATS_MOST);
        at(count, period, least, 2);
        at(count, 1, 1, 5);
    }
    for (size_t least = 1; least <= CK_REPEATS_MOST; least++) {
        at(3000, 2, least, 1);
        for (size_t period = 1; period <= CK_REPEATS_MOST; period++) at(700, period, least, 2 + period % 4);
    }
    for (int i = 0; i < 100; i++) {
        const size_t count = random_below(15000);
        const size_t period = 1 + random_below(6);
        const size_t least = 3 + random_below(10);
        at(count, period, least, 256);
    }
}

// One text for the vector variants, which define first
//   HEALTH_FUNCTION  the name of the function
//   HEALTH_TARGET    its target attribute
//   HEALTH_MASKS     (x, first, equal_first, equal_previous): for 64 samples one bit each, whether the sample equals
//                    `first`, and whether it equals the sample before it

#include "health_internal.h"

// Of each sample that equals the one before it a bit is kept. Where no three such bits stand side by side in any word
// of 64, no run inside the window is longer than five samples (two bits either side of a border of words), and only
// the run that comes in from the window before has to be looked at. Other windows go to the reference.
HEALTH_TARGET int HEALTH_FUNCTION(
    ck_health *state, const uint8_t *x, size_t windows, uint32_t repetition, uint32_t proportion) {
    for (; windows > 0; windows--, x += CK_HEALTH_WINDOW) {
        const uint8_t first = x[0];
        uint64_t longer = 0, begin = 0, end = 0;
        uint32_t matches = 0;
        for (int word = 0; word < CK_HEALTH_WINDOW / 64; word++) {
            uint64_t equal_first, equal_previous;
            HEALTH_MASKS(x + 64 * word, first, equal_first, equal_previous);
            matches += (uint32_t)__builtin_popcountll(equal_first);
            longer |= equal_previous & equal_previous >> 1 & equal_previous >> 2;
            if (word == 0) begin = equal_previous;
            end = equal_previous;
        }
        const uint32_t carried = state->run + (uint32_t)__builtin_ctzll(~begin | 8);
        if (longer != 0 || carried >= repetition) {
            const int failed = ck_health_portable(state, x, CK_HEALTH_WINDOW, repetition, proportion);
            if (failed != 0) return failed;
            continue;
        }
        if (matches >= proportion) return -(int)matches;
        state->run = 1 + (uint32_t)__builtin_clzll(~end);
        state->last = x[CK_HEALTH_WINDOW - 1];
        state->first = first;
        state->matches = matches;
    }
    return 0;
}

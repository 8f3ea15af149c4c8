// RDSEED: the words are random, so that only where they go can be proved.
#include "proof.h"

void prove_rdseed(void) {
    enum { OUT };
    const bool here = ck_rdseed_available();
    check(here == ck_rdseed_available(), "the same answer each time");
#if !defined(__x86_64__)
    check(!here, "x86-64 alone has it");
#endif
    // Bytes that kept their first value in all of 16 fillings were not written: by chance one in 2^128 does so.
    for (size_t n = 0; n <= 100; n++) {
        under_test(here ? "rdseed" : "none", n);
        bool changed[100] = {false};
        for (int turn = 0; turn < 16; turn++) {
            uint8_t *out = place(OUT, n, turn == 0 ? FLUSH : any_alignment());
            memset(out, 0x3c, n);
            check(ck_rdseed_fill(out, n) == (here ? n : 0), "says how much it filled");
            check(untouched(OUT), "no byte beyond");
            for (size_t i = 0; i < n; i++) changed[i] |= out[i] != 0x3c;
        }
        bool all = true;
        for (size_t i = 0; i < n; i++) all &= changed[i] == here;
        check(all, here ? "fills every byte" : "leaves every byte");
    }
}

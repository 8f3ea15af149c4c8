#include "rdseed.h"

#include "../memory/memory.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

bool ck_rdseed_available(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_RDSEED) != 0;
}

// All cores share the source, and one that finds it empty has to ask again.
__attribute__((target("rdseed"))) static int draw(unsigned long long *word) {
    enum { TRIES = 100000 };
    for (int i = 0; i < TRIES; i++) {
        if (_rdseed64_step(word)) return 1;
        _mm_pause();
    }
    return 0;
}

size_t ck_rdseed_fill(void *p, size_t n) {
    if (!ck_rdseed_available()) return 0;
    size_t done = 0;
    unsigned long long word = 0;
    while (done < n && draw(&word)) {
        const size_t take = n - done < sizeof word ? n - done : sizeof word;
        memcpy((char *)p + done, &word, take);
        done += take;
    }
    ck_wipe(&word, sizeof word);
    return done;
}

#else

bool ck_rdseed_available(void) { return false; }

size_t ck_rdseed_fill(void *p, size_t n) {
    (void)p;
    (void)n;
    return 0;
}

#endif

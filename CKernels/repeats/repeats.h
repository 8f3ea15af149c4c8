// Tandem repeats: stretches of a sequence that equal themselves one period before.
#ifndef CK_REPEATS_H
#define CK_REPEATS_H

#include <stddef.h>
#include <stdint.h>

// Positions first..end-1 of a sequence.
typedef struct {
    uint32_t first;
    uint32_t end;
} ck_run;

// The longest period and the shortest run that ck_find_repeats takes.
enum { CK_REPEATS_MOST = 64 };

// Finds the runs of at least `least` positions i in a row, each as long as it gets, where codes[i] == codes[i - period]
// and codes[i] < 4 (a base that is known), in order. `period` and `least` are 1 to CK_REPEATS_MOST, `count` is less than
// 2^32. Returns the number of runs; `runs` has room for count / (least + 1) + 1.
size_t ck_find_repeats(const uint8_t *codes, size_t count, size_t period, size_t least, ck_run *runs);

#endif

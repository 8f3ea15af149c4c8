// RDSEED: the noise source inside x86-64 processors, conditioned as SP 800-90B asks. A source, not a variant of
// anything, so the cap of ck_cpu.h does not concern it.
#ifndef CK_RDSEED_H
#define CK_RDSEED_H

#include <stdbool.h>
#include <stddef.h>

bool ck_rdseed_available(void);

// Fills n bytes and returns how many it filled: fewer when the processor has given nothing for some milliseconds, or
// has no RDSEED.
size_t ck_rdseed_fill(void *p, size_t n);

#endif

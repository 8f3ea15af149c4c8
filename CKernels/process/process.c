#include "process.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>

int ck_process_end_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 ? 0 : errno; }

void ck_process_wipe_freed_memory(void) { mallopt(M_PERTURB, 0xA5); }

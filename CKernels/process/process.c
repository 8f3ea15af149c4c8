#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

int ck_process_end_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 ? 0 : errno; }

void ck_process_name_thread(const char *name) { prctl(PR_SET_NAME, name); }

void ck_process_wipe_freed_memory(void) { mallopt(M_PERTURB, 0xA5); }

long ck_process_peer_uid(int socket) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return -1;
    return (long)credentials.uid;
}

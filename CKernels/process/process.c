#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

int ck_process_end_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 ? 0 : errno; }

void ck_process_name_thread(const char *name) { prctl(PR_SET_NAME, name); }

#define MOST_CPUS 8192

typedef union {
    cpu_set_t first;
    unsigned char bytes[CPU_ALLOC_SIZE(MOST_CPUS)];
} cpus;

int ck_process_pin_thread(int cpu) {
    if (cpu < 0 || cpu >= MOST_CPUS) return EINVAL;
    cpus set;
    CPU_ZERO_S(sizeof set, &set.first);
    CPU_SET_S((size_t)cpu, sizeof set, &set.first);
    return sched_setaffinity(0, sizeof set, &set.first) == 0 ? 0 : errno;
}

int ck_process_may_use_cpu(int cpu) {
    cpus set;
    if (cpu < 0 || cpu >= MOST_CPUS || sched_getaffinity(0, sizeof set, &set.first) != 0) return 0;
    return CPU_ISSET_S((size_t)cpu, sizeof set, &set.first) != 0;
}

int ck_process_enter_network(const char *path) {
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return errno;
    const int code = setns(file, CLONE_NEWNET) == 0 ? 0 : errno;
    close(file);
    return code;
}

void ck_process_wipe_freed_memory(void) { mallopt(M_PERTURB, 0xA5); }

long ck_process_peer_uid(int socket) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return -1;
    return (long)credentials.uid;
}

int ck_process_punch_hole(int file, long long offset, long long count) {
    return fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, count) == 0 ? 0 : errno;
}

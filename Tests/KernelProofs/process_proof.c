// What a service asks of the kernel for its own process, as the kernel then tells it.
#define _GNU_SOURCE
#include "proof.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// In a process of its own, because it changes that; true when it says so.
static bool in_child(bool (*proof)(void)) {
    const pid_t child = fork();
    if (child == 0) _exit(proof() ? 0 : 1);
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool ends_with_parent(void) {
    int number = 0;
    return ck_process_end_with_parent() == 0 && prctl(PR_GET_PDEATHSIG, &number) == 0 && number == SIGTERM;
}

static bool names_thread(void) {
    char name[16];
    ck_process_name_thread("a name of more than fifteen");
    return prctl(PR_GET_NAME, name) == 0 && strcmp(name, "a name of more ") == 0;
}

static bool pins_thread(void) {
    int last = -1;
    for (int cpu = 0; cpu < 1024; cpu++) {
        if (ck_process_may_use_cpu(cpu)) last = cpu;
    }
    if (last < 0 || ck_process_pin_thread(last) != 0 || sched_getcpu() != last) return false;
    for (int cpu = 0; cpu < 1024; cpu++) {
        if (ck_process_may_use_cpu(cpu) != (cpu == last)) return false;
    }
    return ck_process_pin_thread(-1) != 0 && ck_process_pin_thread(1 << 20) != 0 && !ck_process_may_use_cpu(-1);
}

static void peers(void) {
    int pair[2];
    under_test("peer", 0);
    check(ck_process_peer_uid(-1) == -1, "no socket");
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) {
        check(false, "a pair of sockets");
        return;
    }
    check(ck_process_peer_uid(pair[0]) == (long)geteuid(), "the account at the other end");
    close(pair[0]);
    close(pair[1]);
}

void prove_process(void) {
    under_test("process", 0);
    check(in_child(ends_with_parent), "ends with its parent");
    check(in_child(names_thread), "a thread's name");
    check(in_child(pins_thread), "a thread on one CPU");
    peers();
}

// What a service asks of the kernel for its own process.
#ifndef CK_PROCESS_H
#define CK_PROCESS_H

// Asks for SIGTERM when the parent ends (prctl(2), which Swift cannot call). Returns 0 or errno.
int ck_process_end_with_parent(void);

// The account at the other end of a connected Unix socket (SO_PEERCRED, whose structure Swift does not see), or -1.
long ck_process_peer_uid(int socket);

// Gives the calling thread a name of at most 15 bytes, as ps(1) and profilers show it.
void ck_process_name_thread(const char *name);

// Keeps the calling thread on one CPU (sched_setaffinity(2)). Returns 0 or errno.
int ck_process_pin_thread(int cpu);

// 1 when the calling thread may run on this CPU, else 0.
int ck_process_may_use_cpu(int cpu);

// Moves the calling thread, and threads that it starts afterwards, into the network namespace of that file (setns(2)).
// Returns 0 or errno.
int ck_process_enter_network(const char *path);

// Overwrites every block that free(3) takes back from now on (mallopt(3) M_PERTURB), so that plaintext does not stay in
// unused memory. Best effort: it does not reach copies in registers and stacks.
void ck_process_wipe_freed_memory(void);

// Gives a stretch of a file back to the file system (fallocate(2), whose flags Swift does not see): it reads as zeros.
// Returns 0 or errno (EOPNOTSUPP where the file system cannot).
int ck_process_punch_hole(int file, long long offset, long long count);

#endif

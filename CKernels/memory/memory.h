// Memory for secrets: wiped for certain, compared in constant time, kept out of swap, core dumps and children.
#ifndef CK_MEMORY_H
#define CK_MEMORY_H

#include <stddef.h>
#include <stdint.h>

// Overwrites n bytes with zeros, and the vector registers of this thread, which may hold a copy. The compiler cannot
// remove it.
void ck_wipe(void *p, size_t n);

// 1 when the n bytes are equal, otherwise 0; the time depends on n only.
int ck_equal(const void *a, const void *b, size_t n);

typedef enum {
    CK_SECRET_MEMFD = 0,    // memfd_secret(2): outside the kernel's direct map, never swapped, never dumped
    CK_SECRET_LOCKED = 1,   // anonymous pages, mlock(2), not dumped, wiped in a forked child
    CK_SECRET_UNLOCKED = 2, // as above, but the lock limit is used up: the pages could be swapped
} ck_secret_kind;

// Zeroed memory for n bytes, 64-byte aligned. Blocks up to 2,048 bytes come from shared slabs, larger ones get pages of
// their own between two guard pages; freed ones are wiped and kept for the next block of as many pages, up to a limit.
// NULL when there is no memory. Never survives fork(2): the child must not touch it.
void *ck_secret_alloc(size_t n);

// Wipes and returns a block; n is the size that was asked for. NULL is allowed.
void ck_secret_free(void *p, size_t n);

// The weakest protection that any block handed out so far has had, for the receipt and for the start-up warning.
ck_secret_kind ck_secret_weakest(void);

// Fills n bytes from the kernel's generator. Returns 0 or errno.
int ck_random_fill(void *p, size_t n);

// No core dump, no ptrace by peers, and the default action for SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT, SIGFPE and
// SIGQUIT, so that no crash handler prints memory. Returns 0, or the errno of the first step that failed.
int ck_process_harden(void);

// Locks all present and future pages in memory. Returns 0 or errno (ENOMEM, EPERM under a small RLIMIT_MEMLOCK).
int ck_process_lock_all(void);

#endif

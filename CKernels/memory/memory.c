#define _GNU_SOURCE
#include "memory.h"

#include "../cpu/ck_cpu.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

// What worked on a secret has it in vector registers, some of which nothing else touches for as long as the thread
// lives: a thread that sleeps has them in its core dump. No caller expects these registers to be kept.
__attribute__((noinline)) static void wipe_registers(void) {
#if defined(__x86_64__)
    // Asking the processor is slow. Bit 31 says that it was asked.
    static _Atomic uint32_t known;
    uint32_t has = atomic_load_explicit(&known, memory_order_relaxed);
    if (!has) {
        has = ck_cpu_detected() | 1u << 31;
        atomic_store_explicit(&known, has, memory_order_relaxed);
    }
    if (has & CK_CPU_AVX2)
        __asm__ volatile("vzeroall" ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                         "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    // The code of this file is built for processors without the upper sixteen, so none of it can hold a value there.
#define WIPE(r) "vpxord %%zmm" #r ", %%zmm" #r ", %%zmm" #r "\n\t"
    if (has & CK_CPU_AVX512)
        __asm__ volatile(WIPE(16) WIPE(17) WIPE(18) WIPE(19) WIPE(20) WIPE(21) WIPE(22) WIPE(23) WIPE(24) WIPE(25)
                             WIPE(26) WIPE(27) WIPE(28) WIPE(29) WIPE(30) WIPE(31)::);
#undef WIPE
#elif defined(__aarch64__)
    // The lower halves of v8 to v15 are the caller's.
#define WIPE(r) "movi v" #r ".2d, #0\n\t"
    __asm__ volatile(WIPE(0) WIPE(1) WIPE(2) WIPE(3) WIPE(4) WIPE(5) WIPE(6) WIPE(7) WIPE(16) WIPE(17) WIPE(18) WIPE(19)
                         WIPE(20) WIPE(21) WIPE(22) WIPE(23) WIPE(24) WIPE(25) WIPE(26) WIPE(27) WIPE(28) WIPE(29)
                             WIPE(30) WIPE(31)::
                             : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21",
                               "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
#undef WIPE
#endif
}

void ck_wipe(void *p, size_t n) {
    if (n == 0) return;
    memset(p, 0, n);
    // The memory is an input of this empty statement, so the stores above are observable.
    __asm__ volatile("" : : "r"(p) : "memory");
    wipe_registers();
}

int ck_equal(const void *a, const void *b, size_t n) {
    const unsigned char *x = a, *y = b;
    unsigned char difference = 0;
    for (size_t i = 0; i < n; i++) {
        difference |= x[i] ^ y[i];
    }
    // The barrier keeps the compiler from turning the loop into one that leaves early.
    uint32_t folded = difference;
    __asm__ volatile("" : "+r"(folded));
    return (int)((folded - 1) >> 31);
}

// --- Pages -----------------------------------------------------------------------------------------------------------

static _Atomic int weakest = CK_SECRET_MEMFD;

static void note_kind(int kind) {
    int seen = atomic_load(&weakest);
    while (kind > seen && !atomic_compare_exchange_weak(&weakest, &seen, kind)) {
    }
}

ck_secret_kind ck_secret_weakest(void) { return (ck_secret_kind)atomic_load(&weakest); }

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

// Maps memfd_secret pages over the reserved range; 1 when that worked.
static int map_secret(void *at, size_t length) {
#if defined(__linux__) && defined(SYS_memfd_secret)
    const int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0) return 0;
    int mapped = 0;
    if (ftruncate(fd, (off_t)length) == 0 &&
        mmap(at, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED) {
        // A shared mapping cannot be wiped in a child, so the child does not get it at all.
        mapped = 1;
        (void)madvise(at, length, MADV_DONTFORK);
    }
    close(fd);
    return mapped;
#else
    (void)at;
    (void)length;
    return 0;
#endif
}

static int map_locked(void *at, size_t length) {
    if (mprotect(at, length, PROT_READ | PROT_WRITE) != 0) return -1;
#if defined(MADV_DONTDUMP)
    (void)madvise(at, length, MADV_DONTDUMP);
#endif
#if defined(MADV_WIPEONFORK)
    (void)madvise(at, length, MADV_WIPEONFORK);
#endif
    return mlock(at, length) == 0 ? CK_SECRET_LOCKED : CK_SECRET_UNLOCKED;
}

static size_t whole_pages(size_t n) { return (n + page_size() - 1) & ~(page_size() - 1); }

static void *pages_map(size_t length) {
    const size_t page = page_size();
    char *base = mmap(NULL, length + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return NULL;
    int kind = CK_SECRET_MEMFD;
    if (!map_secret(base + page, length)) {
        // A failed fixed mapping may have taken the reservation away; put plain pages there.
        if (mmap(base + page, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
            (kind = map_locked(base + page, length)) < 0) {
            munmap(base, length + 2 * page);
            return NULL;
        }
    }
    note_kind(kind);
    return base + page;
}

// The first touch of a memfd_secret page takes it out of the kernel's map and flushes every processor's translations,
// some 25 us for 4 KiB. So wiped blocks are kept, by their number of pages, and handed out again with the guard pages
// that they have; only what goes beyond KEPT_BYTES returns to the system.
enum { KEPT_PAGES = 512, KEPT_BYTES = 48 << 20 };
typedef struct kept_block {
    struct kept_block *next;
} kept_block;

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER; // guards `kept` and `kept_bytes`
static kept_block *kept[KEPT_PAGES + 1];
static size_t kept_bytes;

static void *pages_alloc(size_t n) {
    const size_t page = page_size();
    if (n > SIZE_MAX - 3 * page) return NULL;
    const size_t length = whole_pages(n), count = length / page;
    if (count <= KEPT_PAGES) {
        pthread_mutex_lock(&kept_lock);
        kept_block *block = kept[count];
        if (block != NULL) {
            kept[count] = block->next;
            kept_bytes -= length;
            block->next = NULL;
        }
        pthread_mutex_unlock(&kept_lock);
        if (block != NULL) return block;
    }
    return pages_map(length);
}

static void pages_free(void *p, size_t n) {
    const size_t page = page_size(), length = whole_pages(n), count = length / page;
    ck_wipe(p, n);
    if (count <= KEPT_PAGES) {
        kept_block *block = p;
        pthread_mutex_lock(&kept_lock);
        const int fits = kept_bytes + length <= KEPT_BYTES;
        if (fits) {
            block->next = kept[count];
            kept[count] = block;
            kept_bytes += length;
        }
        pthread_mutex_unlock(&kept_lock);
        if (fits) return;
    }
    munmap((char *)p - page, length + 2 * page);
}

// --- Small blocks ----------------------------------------------------------------------------------------------------

// Six classes of 64 to 2,048 bytes. A free block holds the link to the next one and is otherwise zero. Slabs are never
// given back: a process holds few small secrets, and their pages are the ones it would ask for again.
enum { CLASSES = 6, SMALLEST = 64, LARGEST = SMALLEST << (CLASSES - 1), SLAB = 32768 };
typedef struct free_block {
    struct free_block *next;
} free_block;

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER; // guards `pool`
static free_block *pool[CLASSES];

static int class_of(size_t n) {
    int index = 0;
    for (size_t size = SMALLEST; size < n; size <<= 1) index++;
    return index;
}

static void *small_alloc(size_t n) {
    const int index = class_of(n);
    pthread_mutex_lock(&pool_lock);
    if (pool[index] == NULL) {
        char *slab = pages_alloc(SLAB);
        const size_t step = (size_t)SMALLEST << index;
        for (size_t at = SLAB; slab != NULL && at >= step; at -= step) {
            free_block *block = (free_block *)(slab + at - step);
            block->next = pool[index];
            pool[index] = block;
        }
    }
    free_block *block = pool[index];
    if (block != NULL) {
        pool[index] = block->next;
        block->next = NULL;
    }
    pthread_mutex_unlock(&pool_lock);
    return block;
}

static void small_free(void *p, size_t n) {
    const int index = class_of(n);
    ck_wipe(p, (size_t)SMALLEST << index);
    free_block *block = p;
    pthread_mutex_lock(&pool_lock);
    block->next = pool[index];
    pool[index] = block;
    pthread_mutex_unlock(&pool_lock);
}

void *ck_secret_alloc(size_t n) { return n <= LARGEST ? small_alloc(n) : pages_alloc(n); }

void ck_secret_free(void *p, size_t n) {
    if (p == NULL) return;
    if (n <= LARGEST) {
        small_free(p, n);
    } else {
        pages_free(p, n);
    }
}

// --- Process ---------------------------------------------------------------------------------------------------------

int ck_random_fill(void *p, size_t n) {
    for (size_t done = 0; done < n;) {
        const size_t want = n - done < ((size_t)1 << 24) ? n - done : (size_t)1 << 24;
        const ssize_t got = getrandom((char *)p + done, want, 0);
        if (got < 0 && errno != EINTR) return errno;
        if (got > 0) done += (size_t)got;
    }
    return 0;
}

int ck_process_harden(void) {
    int first = 0;
#if defined(__linux__)
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) first = errno;
#endif
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 && first == 0) first = errno;
    static const int fatal[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGQUIT};
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = SIG_DFL;
        if (sigaction(fatal[i], &action, NULL) != 0 && first == 0) first = errno;
    }
    // Children that are Swift programs start without the crash backtrace too.
    if (setenv("SWIFT_BACKTRACE", "enable=no", 1) != 0 && first == 0) first = errno;
    return first;
}

int ck_process_lock_all(void) { return mlockall(MCL_CURRENT | MCL_FUTURE) == 0 ? 0 : errno; }

// Wiping, comparing in constant time, and memory for secrets with its guard pages.
#define _GNU_SOURCE
#include "proof.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void wiping(void) {
    enum { BYTES };
    for (size_t n = 0; n <= 4096; n++) {
        uint8_t *p = place(BYTES, n, any_alignment());
        under_test("wipe", n);
        random_fill(p, n);
        ck_wipe(p, n);
        bool zero = true;
        for (size_t i = 0; i < n; i++) zero &= p[i] == 0;
        check(zero && untouched(BYTES), "all of it and no more");
    }
}

// What a register that nothing else touches keeps of a secret.
#if defined(__x86_64__)
__attribute__((target("avx512f"), noinline)) static int left_in_registers(uint8_t *p) {
    uint8_t secret[64], seen[128];
    memset(secret, 0xA7, sizeof secret);
    __asm__ volatile("vmovdqu64 (%0), %%zmm3\n\tvmovdqu64 (%0), %%zmm31" ::"r"(secret) : "xmm3", "xmm31", "memory");
    ck_wipe(p, 16);
    __asm__ volatile("vmovdqu64 %%zmm3, (%0)\n\tvmovdqu64 %%zmm31, 64(%0)" ::"r"(seen) : "memory");
    int left = 0;
    for (size_t i = 0; i < sizeof seen; i++) left += seen[i] == 0xA7;
    return left;
}
#endif

static void registers(void) {
#if defined(__x86_64__)
    if (!(ck_cpu_detected() & CK_CPU_AVX512)) return;
    enum { BYTES };
    under_test("wipe", 16);
    check(left_in_registers(place(BYTES, 16, 0)) == 0, "nothing in vector registers");
#endif
}

static void comparing(void) {
    enum { X, Y };
    for (size_t n = 0; n <= 4096; n++) {
        uint8_t *x = place(X, n, any_alignment()), *y = place(Y, n, any_alignment());
        under_test("equal", n);
        random_fill(x, n);
        memcpy(y, x, n);
        check(ck_equal(x, y, n) == 1, "equal");
        // Every bit of tags, one bit of longer strings.
        const size_t bits = n <= 64 ? 8 * n : 1, first = n <= 64 ? 0 : random_below(8 * n);
        for (size_t bit = first; bit < first + bits; bit++) {
            y[bit / 8] ^= (uint8_t)(1u << bit % 8);
            check(ck_equal(x, y, n) == 0, "not equal");
            y[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    // Differences that would cancel in a sum.
    const uint8_t one[2] = {0x80, 0x80}, other[2] = {0, 0};
    check(ck_equal(one, other, 2) == 0, "two differences");
}

static void secrets(void) {
    enum { BLOCKS = 64 };
    uint8_t *blocks[BLOCKS];
    size_t sizes[BLOCKS];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            sizes[i] = random_below(3) == 0 ? random_below(100000) : random_below(2100);
            under_test("secret", sizes[i]);
            blocks[i] = ck_secret_alloc(sizes[i]);
            check(blocks[i] != NULL && (uintptr_t)blocks[i] % 64 == 0, "64-byte aligned");
            if (blocks[i] == NULL) return;
            bool zero = true;
            for (size_t at = 0; at < sizes[i]; at++) zero &= blocks[i][at] == 0;
            check(zero, "nothing of the last owner");
            memset(blocks[i], i + 1, sizes[i]);
        }
        for (int i = 0; i < BLOCKS; i++) {
            bool own = true;
            for (size_t at = 0; at < sizes[i]; at++) own &= blocks[i][at] == i + 1;
            under_test("secret", sizes[i]);
            check(own, "blocks do not overlap");
            ck_secret_free(blocks[i], sizes[i]);
        }
    }
    ck_secret_free(NULL, 0);
    under_test("secret", SIZE_MAX);
    check(ck_secret_alloc(SIZE_MAX - 10) == NULL, "no memory");
}

// A child that touches the byte `offset` of a block of its own ends by a signal or with a sanitizer's exit code.
static void guard_page(ptrdiff_t offset) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL) _exit(0);
        volatile uint8_t *p = ck_secret_alloc(8192);
        p[offset] = 1;
        _exit(0);
    }
    int status = 0;
    check(child > 0 && waitpid(child, &status, 0) == child, "child");
    under_test("guard page", 8192);
    check(!(WIFEXITED(status) && WEXITSTATUS(status) == 0), "stops an overrun");
}

void prove_memory(void) {
    wiping();
    registers();
    comparing();
    secrets();
    guard_page(8192);
    guard_page(-1);
    uint8_t random[2][64] = {{0}};
    under_test("random", 64);
    check(ck_random_fill(random[0], 64) == 0 && ck_random_fill(random[1], 64) == 0, "the kernel's generator");
    check(memcmp(random[0], random[1], 64) != 0, "does not repeat");
}

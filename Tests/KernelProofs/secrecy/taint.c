// Secrets marked as undefined memory, under valgrind: memcheck then reports every conditional jump and every address
// that depends on one (Langley's ctgrind). Planted leaks in the same run show that it would.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <valgrind/memcheck.h>

#include "CKernels.h"
#include "leaks.h"

#define SECRET(p, n) ((void)VALGRIND_MAKE_MEM_UNDEFINED(p, n))
#define PUBLIC(p, n) ((void)VALGRIND_MAKE_MEM_DEFINED(p, n))

// Long enough for what AES-256-CTR shares among blocks from 16 KiB on.
enum { BYTES = 41000 };
static uint8_t key[32], counter[16], x[BYTES], y[BYTES], z[BYTES], out[2][BYTES];
static volatile int sink;

static void everything_secret(void) {
    memset(out, 0, sizeof out);
    for (size_t i = 0; i < BYTES; i++) x[i] = (uint8_t)(7 * i), y[i] = (uint8_t)(31 * i + 5), z[i] = (uint8_t)(i * i);
    for (size_t i = 0; i < sizeof key; i++) key[i] = (uint8_t)(i * 11);
    memset(counter, 0xfe, sizeof counter);
    SECRET(key, sizeof key);
    SECRET(x, BYTES);
    SECRET(y, BYTES);
    SECRET(z, BYTES);
}

static void xor_strings(void) {
    for (size_t n = 0; n <= BYTES; n += n < 300 ? 1 : n < 1100 ? 97 : 7919) ck_xor(out[0], x, y, n);
    ck_xor_into(x, y, BYTES);
}

static void aes_counter_mode(void) {
    ck_aes256 schedule;
    ck_aes256_init(&schedule, key);
    for (size_t n = 0; n <= BYTES; n = 2 * n + 5) {
        ck_aes256_ctr_expand(&schedule, counter, out[0], n);
        ck_aes256_ctr_xor(&schedule, counter, out[0], x, n);
        ck_aes256_ctr_xor2(&schedule, counter, out[0], x, y, n);
    }
}

static void tag(void) {
    for (size_t n = 0; n <= BYTES; n = 2 * n + 5) {
        ck_gf128 state;
        ck_gf128_init(&state, key);
        ck_gf128_update(&state, x, n / 3);
        ck_gf128_update(&state, x + n / 3, n - n / 3);
        ck_gf128_finish(&state, out[0]);
        ck_gf128_seal(&state, out[1], x, y, n);
        ck_gf128_finish(&state, out[0]);
        ck_gf128_open(&state, out[1], y, n);
        ck_gf128_finish(&state, out[0]);
        ck_xor_into(out[0], y, 16);
    }
}

static void base64(void) {
    for (size_t n = 0; n <= BYTES / 2; n = 2 * n + 5) {
        ck_base64_encode(out[0], x, n);
        // Where padding stands is no secret, and neither is whether a text was right.
        const size_t length = ck_base64_length(n);
        if (length != 0) PUBLIC(out[0] + length - 2, 2);
        ptrdiff_t count = ck_base64_decode(out[1], out[0], length);
        PUBLIC(&count, sizeof count);
        sink = (int)count;
    }
}

static void tag_comparison(void) {
    for (size_t n = 0; n <= 64; n++) {
        int equal = ck_equal(x, y, n);
        PUBLIC(&equal, sizeof equal);
        sink = equal;
    }
}

static void share_split_and_joins(void) {
    for (size_t half = 0; half <= BYTES / 2; half = 2 * half + 3) {
        ck_share_split(out[0], out[1], x, y, half);
        ck_share_join_ab(out[0], x, y, half);
        ck_share_join_ac(out[0], x, y, half);
        ck_share_join_bc(out[0], x, y, half);
    }
}

static void share_repair_and_refresh(void) {
    for (size_t half = 0; half <= BYTES / 2; half = 2 * half + 3) {
        ck_share_repair_ab(out[0], x, y, half);
        ck_share_repair_c(out[0], x, y, half);
        ck_share_refresh_a(x, z, half);
        ck_share_refresh_b(y, z, half);
        ck_share_refresh_c(z, x, half);
        int whole = ck_share_consistent(x, y, z, half);
        PUBLIC(&whole, sizeof whole);
        sink = whole;
    }
}

static void wipe(void) { ck_wipe(x, BYTES); }

static void planted_comparison(void) {
    int equal = leaky_equal(x, y, 16);
    PUBLIC(&equal, sizeof equal);
    sink = equal;
}

static void planted_table(void) { leaky_substitute(x, 16); }

static void planted_multiplication(void) { leaky_multiply(x, y); }

static const struct {
    const char *name;
    void (*run)(void);
    bool leaks;
} subjects[] = {
    {"xor", xor_strings, false},
    {"AES-256-CTR with its key schedule", aes_counter_mode, false},
    {"tag", tag, false},
    {"base64", base64, false},
    {"tag comparison", tag_comparison, false},
    {"share split and joins", share_split_and_joins, false},
    {"share repair, refresh and integrity", share_repair_and_refresh, false},
    {"wipe", wipe, false},
    {"planted: comparison that stops early", planted_comparison, true},
    {"planted: substitution by a table", planted_table, true},
    {"planted: multiplication with a branch", planted_multiplication, true},
};

int main(void) {
    if (!RUNNING_ON_VALGRIND) {
        fprintf(stderr, "this program finds nothing unless valgrind runs it\n");
        return 70;
    }
    int passed = 0, failed = 0;
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        everything_secret();
        const unsigned before = VALGRIND_COUNT_ERRORS;
        subjects[i].run();
        const unsigned found = VALGRIND_COUNT_ERRORS - before;
        const bool right = (found > 0) == subjects[i].leaks;
        printf("%s %-40s %u uses of a secret in a jump or an address\n", right ? "passed" : "FAILED", subjects[i].name,
               found);
        right ? passed++ : failed++;
    }
    printf("secrets: %d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}

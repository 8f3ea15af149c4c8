// Time as a stopwatch sees it: one fixed input against random ones, taken in random order, compared by Welch's t-test
// (Reparaz, Balasch and Verbauwhede 2017, "Dude, is my code constant time?"). The machine may be busy, so that a
// subject has several tries; a real leak shows in every one of them, as the planted ones must.
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"
#include "leaks.h"

// Requests of LONG bytes take the way of AES-256-CTR that shares rounds among blocks.
enum { BATCH = 128, MEASUREMENTS = 40000, TRIES = 5, MESSAGE = 512, LONG = 40000, CROPS = 6 };
#define THRESHOLD 10.0

typedef struct {
    uint8_t key[32];
    uint8_t message[LONG];
} input;

static input inputs[BATCH];
static uint8_t out[LONG];
static volatile int sink;

static uint64_t random_word(void) {
    static uint64_t seed = 42;
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t ticks(void) {
    uint64_t now;
#if defined(__x86_64__)
    uint32_t high, low;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    now = (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(now) : : "memory");
#endif
    return now;
}

// --- Subjects --------------------------------------------------------------------------------------------------------

static void tag(const input *in) {
    ck_gf128 state;
    ck_gf128_init(&state, in->key);
    ck_gf128_update(&state, in->message, MESSAGE);
    ck_gf128_finish(&state, out);
}

static void aes(const input *in) {
    uint8_t counter[16] = {0};
    ck_aes256 schedule;
    ck_aes256_init(&schedule, in->key);
    ck_aes256_ctr_xor(&schedule, counter, out, in->message, MESSAGE);
}

static void aes_long(const input *in) {
    uint8_t counter[16] = {0};
    ck_aes256 schedule;
    ck_aes256_init(&schedule, in->key);
    ck_aes256_ctr_xor(&schedule, counter, out, in->message, LONG);
}

// 32 tags of 16 bytes; the fixed class's are right in every byte.
static const uint8_t right_tag[16];
static void comparison(const input *in) {
    for (int i = 0; i < MESSAGE; i += 16) sink = ck_equal(in->message + i, right_tag, 16);
}

static void planted_comparison(const input *in) {
    for (int i = 0; i < MESSAGE; i += 16) sink = leaky_equal(in->message + i, right_tag, 16);
}

static void planted_multiplication(const input *in) {
    memcpy(out, in->message, 16);
    leaky_multiply(out, in->message + 16);
}

// --- Welch's t-test --------------------------------------------------------------------------------------------------

typedef struct {
    double n, mean, squares;
} moments;

static void add(moments *m, double value) {
    m->n++;
    const double step = value - m->mean;
    m->mean += step / m->n;
    m->squares += step * (value - m->mean);
}

static double welch(const moments class[2]) {
    if (class[0].n < 100 || class[1].n < 100) return 0;
    const double variance = class[0].squares / (class[0].n - 1) / class[0].n +
                            class[1].squares / (class[1].n - 1) / class[1].n;
    return variance > 0 ? fabs(class[0].mean - class[1].mean) / sqrt(variance) : 0;
}

static int ascending(const void *x, const void *y) {
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

// The greatest t over all measurements and over those below several percentiles: interrupts make a long tail.
static double greatest_t(void (*run)(const input *), size_t message) {
    static double times[MEASUREMENTS], sorted[MEASUREMENTS];
    static uint8_t classes[MEASUREMENTS];
    for (int first = 0; first + BATCH <= MEASUREMENTS; first += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            uint8_t *bytes = (uint8_t *)&inputs[i];
            classes[first + i] = random_word() & 1;
            // Both classes are written alike, so that caches cannot tell them apart.
            const uint64_t mask = 0 - (uint64_t)classes[first + i];
            for (size_t at = 0; at < offsetof(input, message) + message; at += 8) {
                const uint64_t word = random_word() & mask;
                memcpy(bytes + at, &word, 8);
            }
        }
        for (int i = 0; i < BATCH; i++) {
            const uint64_t begin = ticks();
            run(&inputs[i]);
            times[first + i] = (double)(ticks() - begin);
        }
    }
    const int n = MEASUREMENTS / BATCH * BATCH, warm = 10 * BATCH;
    memcpy(sorted, times, sizeof times);
    qsort(sorted, (size_t)n, sizeof sorted[0], ascending);
    static const double parts[CROPS] = {0.3, 0.5, 0.7, 0.9, 0.99, 1};
    double greatest = 0;
    for (int crop = 0; crop < CROPS; crop++) {
        const double limit = sorted[(int)(parts[crop] * (n - 1))];
        moments class[2] = {{0, 0, 0}, {0, 0, 0}};
        for (int i = warm; i < n; i++) {
            if (times[i] <= limit) add(&class[classes[i]], times[i]);
        }
        const double t = welch(class);
        if (t > greatest) greatest = t;
    }
    return greatest;
}

static const struct {
    const char *name;
    void (*run)(const input *);
    size_t message;
    ck_cpu_cap cap;
    bool leaks;
} subjects[] = {
    {"tag, portable", tag, MESSAGE, CK_CPU_CAP_PORTABLE, false},
    {"tag, the processor's instructions", tag, MESSAGE, CK_CPU_CAP_AVX512, false},
    {"AES-256-CTR and key schedule, portable", aes, MESSAGE, CK_CPU_CAP_PORTABLE, false},
    {"AES-256-CTR, the processor's instructions", aes, MESSAGE, CK_CPU_CAP_AVX512, false},
    {"AES-256-CTR of 40 kB, AES-NI", aes_long, LONG, CK_CPU_CAP_AVX2, false},
    {"AES-256-CTR of 40 kB, the processor's instructions", aes_long, LONG, CK_CPU_CAP_AVX512, false},
    {"tag comparison", comparison, MESSAGE, CK_CPU_CAP_PORTABLE, false},
    {"planted: comparison that stops early", planted_comparison, MESSAGE, CK_CPU_CAP_PORTABLE, true},
    {"planted: multiplication with a branch", planted_multiplication, MESSAGE, CK_CPU_CAP_PORTABLE, true},
};

int main(void) {
    int passed = 0, failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        ck_cpu_set_cap(subjects[i].cap);
        double t = 0;
        bool right = false;
        int tries = 0;
        while (!right && tries < TRIES) {
            t = greatest_t(subjects[i].run, subjects[i].message);
            tries++;
            right = (t > THRESHOLD) == subjects[i].leaks;
        }
        printf("%s %-50s |t| %.1f at try %d\n", right ? "passed" : "FAILED", subjects[i].name, t, tries);
        right ? passed++ : failed++;
    }
    printf("timing: %d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}

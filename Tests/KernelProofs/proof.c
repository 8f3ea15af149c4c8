#define _GNU_SOURCE
#include "proof.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

// --- Random inputs ---------------------------------------------------------------------------------------------------

static uint64_t seed;

uint64_t random_word(void) {
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

size_t random_below(size_t bound) { return (size_t)(random_word() % bound); }

void random_fill(void *p, size_t n) {
    uint8_t *bytes = p;
    for (; n >= 8; bytes += 8, n -= 8) {
        const uint64_t word = random_word();
        memcpy(bytes, &word, 8);
    }
    const uint64_t word = random_word();
    memcpy(bytes, &word, n);
}

// --- Guarded buffers -------------------------------------------------------------------------------------------------

enum { MARGIN = 64, PATTERN = 0xa5 };

static struct {
    uint8_t *room;
    uint8_t *bytes;
    size_t n;
} slots[SLOTS];

static void map_slots(void) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int slot = 0; slot < SLOTS; slot++) {
        uint8_t *base = mmap(NULL, ROOM + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base == MAP_FAILED || mprotect(base + page, ROOM, PROT_READ | PROT_WRITE) != 0) {
            perror("guarded buffers");
            exit(71);
        }
        slots[slot].room = base + page;
    }
}

uint8_t *place(int slot, size_t n, int alignment) {
    if (n > ROOM - 2 * MARGIN) {
        fprintf(stderr, "a guarded buffer holds at most %d bytes\n", ROOM - 2 * MARGIN);
        exit(70);
    }
    uint8_t *end = slots[slot].room + ROOM, *bytes = end - n;
    if (alignment != FLUSH) bytes -= ((uintptr_t)bytes - (uintptr_t)alignment) % 64;
    slots[slot].bytes = bytes;
    slots[slot].n = n;
    memset(bytes - MARGIN, PATTERN, (size_t)(end - bytes) + MARGIN);
    return bytes;
}

int any_alignment(void) { return random_below(5) == 0 ? FLUSH : (int)random_below(64); }

bool untouched(int slot) {
    const uint8_t *end = slots[slot].room + ROOM, *bytes = slots[slot].bytes;
    for (const uint8_t *p = bytes - MARGIN; p < bytes; p++) {
        if (*p != PATTERN) return false;
    }
    for (const uint8_t *p = bytes + slots[slot].n; p < end; p++) {
        if (*p != PATTERN) return false;
    }
    return true;
}

// --- Checks ----------------------------------------------------------------------------------------------------------

static const char *kernel = "", *variant_name = "";
static size_t size_under_test;
static unsigned long passed_here, failed_here, passed_all, failed_all;
static uint64_t digest_here;
static char ran[128], left_out[128];

void under_test(const char *variant, size_t n) {
    variant_name = variant;
    size_under_test = n;
}

void check(bool passed, const char *what) {
    if (passed) {
        passed_here++;
    } else if (failed_here++ < 10) {
        printf("FAILED %s, %s, size %zu: %s\n", kernel, variant_name, size_under_test, what);
    }
}

void digest(const void *p, size_t n) {
    const uint8_t *bytes = p;
    for (size_t i = 0; i < n; i++) digest_here = (digest_here ^ bytes[i]) * 0x100000001b3u;
}

size_t unhex(const char *text, uint8_t *out) {
    size_t n = 0;
    for (; text[0] != 0 && text[1] != 0; text += 2) {
        const char digits[3] = {text[0], text[1], 0};
        out[n++] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return n;
}

bool equals_hex(const void *p, const char *text) {
    uint8_t expected[256];
    return memcmp(p, expected, unhex(text, expected)) == 0;
}

static void append(char *list, const char *name) {
    if (strstr(list, name) != NULL) return;
    const size_t used = strlen(list);
    snprintf(list + used, sizeof ran - used, "%s%s", used > 0 ? " " : "", name);
}

bool available(const char *variant, uint32_t features) {
    const bool here = ck_cpu_has(features);
    append(here ? ran : left_out, variant);
    return here;
}

static void fault(int number) {
    printf("FAILED %s, %s, size %zu: signal %d, touched memory that is not its own\n", kernel, variant_name,
           size_under_test, number);
    printf("kernels: %lu passed, %lu failed\n", passed_all + passed_here, failed_all + failed_here + 1);
    fflush(stdout);
    _exit(1);
}

static void prove(const char *name, void (*proof)(void)) {
    kernel = name;
    variant_name = "";
    seed = 20260101;
    passed_here = failed_here = 0;
    digest_here = 0xcbf29ce484222325u;
    ran[0] = left_out[0] = 0;
    proof();
    printf("%-8s %8lu passed, %lu failed; digest %016llx; %s%s%s\n", name, passed_here, failed_here,
           (unsigned long long)digest_here, ran, left_out[0] != 0 ? "; not here or capped: " : "", left_out);
    passed_all += passed_here;
    failed_all += failed_here;
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    map_slots();
    signal(SIGSEGV, fault);
    signal(SIGBUS, fault);
    signal(SIGILL, fault);
    prove("cpu", prove_cpu);
    prove("memory", prove_memory);
    prove("process", prove_process);
    prove("rdseed", prove_rdseed);
    prove("repeats", prove_repeats);
    prove("health", prove_health);
    prove("xor", prove_xor);
    prove("shares", prove_shares);
    prove("gf128", prove_gf128);
    prove("aesctr", prove_aesctr);
    prove("base64", prove_base64);
    prove("basequal", prove_basequal);
    prove("stack", prove_stack);
    prove("deflate", prove_deflate);
    prove("text", prove_text);
    prove("pack", prove_pack);
    prove("seed", prove_seed);
    prove("align", prove_align);
    prove("pairhmm", prove_pairhmm);
    printf("kernels: %lu passed, %lu failed\n", passed_all, failed_all);
    return failed_all == 0 ? 0 : 1;
}

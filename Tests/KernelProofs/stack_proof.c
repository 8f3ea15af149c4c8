// What a call leaves on the stack: of keys, powers of keys, key streams, pads and noise not even 8 bytes may lie there.
// Each function runs on a stack of its own, which is searched afterwards. What is found depends on the compiler and its
// options, so that it holds for -O3, as the product is built. Sanitized builds lay out stacks in another way and leave
// this proof out, as does gcc on AArch64.
#include "proof.h"

#include <sys/mman.h>
#include <ucontext.h>

#include "aesctr/aesctr_internal.h"
#include "gf128/gf128_internal.h"

#if defined(__SANITIZE_ADDRESS__) || (defined(__aarch64__) && !defined(__clang__))
#define LEFT_OUT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEFT_OUT 1
#endif
#endif

#if !defined(LEFT_OUT)

// --- The words that must not be found --------------------------------------------------------------------------------

enum { TABLE = 1 << 16, STACK = 1 << 18, FILLING = 0x5a };
static uint64_t table[TABLE];  // open addressing; 0 is an empty place
static size_t secrets;

static size_t place_of(uint64_t word) { return (size_t)(word * 0x9e3779b97f4a7c15u >> 48); }

static bool is_secret(uint64_t word) {
    for (size_t i = place_of(word); table[i] != 0; i = (i + 1) % TABLE) {
        if (table[i] == word) return true;
    }
    return false;
}

static void forget(void) {
    memset(table, 0, sizeof table);
    secrets = 0;
}

// Every whole 8 bytes of n, as they are and with their order turned round.
static void add_secret(const void *p, size_t n) {
    for (size_t at = 0; at + 8 <= n; at += 8) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)p + at, 8);
        const uint64_t both[2] = {word, __builtin_bswap64(word)};
        for (int i = 0; i < 2; i++) {
            if (both[i] == 0 || is_secret(both[i])) continue;
            size_t free_place = place_of(both[i]);
            while (table[free_place] != 0) free_place = (free_place + 1) % TABLE;
            table[free_place] = both[i];
            secrets++;
        }
    }
}

// --- A call on a stack of its own ------------------------------------------------------------------------------------

static uint8_t *stack;
static ucontext_t caller, callee;
static void (*function)(void);

// The gap keeps the way back to the caller from what the function leaves.
static void enter(void) {
    uint8_t gap[4096];
    __asm__ volatile("" : : "r"(gap) : "memory");
    function();
    __asm__ volatile("" : : "r"(gap) : "memory");
}

// The number of secret words that the call leaves, at any offset.
static size_t words_left(void (*run)(void)) {
    // Twice, because the first call of a library's function may be the linker's, which saves all registers.
    for (int turn = 0; turn < 2; turn++) {
        memset(stack, FILLING, STACK);
        getcontext(&callee);
        callee.uc_stack.ss_sp = stack;
        callee.uc_stack.ss_size = STACK;
        callee.uc_link = &caller;
        function = run;
        makecontext(&callee, enter, 0);
        swapcontext(&caller, &callee);
    }
    size_t found = 0, at = 0;
    while (at < STACK && stack[at] == FILLING) at++;
    check(at > 0 && at < STACK, "the stack was used, and large enough");
    for (; at + 8 <= STACK; at++) {
        uint64_t word;
        memcpy(&word, stack + at, 8);
        found += is_secret(word);
    }
    return found;
}

// --- Subjects --------------------------------------------------------------------------------------------------------

enum { LONGEST = 40000 };
static uint8_t key[32], start[16], x[LONGEST], pad[LONGEST], out[LONGEST];
static size_t length;
static ck_aes256 schedule;
static ck_aes256_ctr_fn cipher;
static ck_gf128 hash;

static void planted(void) {
    uint8_t copy[32];
    memcpy(copy, key, sizeof copy);
    __asm__ volatile("" : : "r"(copy) : "memory");
}

static void key_schedule(void) { ck_aes256_init(&schedule, key); }

static void counter_mode(void) {
    uint8_t counter[16];
    memcpy(counter, start, 16);
    cipher(&schedule, counter, out, x, NULL, length);
}

static void hash_begin(void) { ck_gf128_init(&hash, key); }

static void hash_update(void) { ck_gf128_update(&hash, x, length); }

static void hash_seal(void) { ck_gf128_seal(&hash, out, x, pad, length); }

static void hash_open(void) { ck_gf128_open(&hash, out, pad, length); }

static void hash_finish(void) { ck_gf128_finish(&hash, out); }

static size_t filled;
static void noise(void) { filled = ck_rdseed_fill(out, length); }

static const size_t lengths[] = {1, 15, 16, 33, 100, 255, 256, 257, 1000, 4096, 16384, 16431, 40000};

static void ciphers(void) {
    static const char *const names[] = {"vaes", "vaes256", "aesni", "neon",
#if defined(__x86_64__)
                                        // On AArch64 the bit-sliced form leaves words of its keys: a known weakness.
                                        "portable",
#endif
    };
    static uint8_t stream[LONGEST];
    uint8_t counter[16];
    forget();
    random_fill(key, sizeof key);
    random_fill(start, sizeof start);
    ck_aes256_init(&schedule, key);
    memcpy(counter, start, 16);
    ck_aes256_ctr_portable(&schedule, counter, stream, NULL, NULL, sizeof stream);
    add_secret(&schedule, sizeof schedule);
    under_test("key schedule", 32);
    check(words_left(key_schedule) == 0, "no word of the key on the stack");
    add_secret(stream, sizeof stream);
    for (size_t v = 0; v < COUNT(names); v++) {
        cipher = ck_aes256_ctr_variant(names[v]);
        if (cipher == NULL) continue;
        available(names[v], 0);
        for (size_t i = 0; i < COUNT(lengths); i++) {
            length = lengths[i];
            under_test(names[v], length);
            check(words_left(counter_mode) == 0, "no round key and no key stream on the stack");
        }
    }
}

static void hashes(void) {
    static const struct {
        const char *name;
        ck_cpu_cap cap;
    } forms[] = {
        {"portable", CK_CPU_CAP_PORTABLE},
#if defined(__aarch64__)
        {"neon", CK_CPU_CAP_NEON},
#else
        {"avx2", CK_CPU_CAP_AVX2},
        {"avx512", CK_CPU_CAP_AVX512},
#endif
    };
    const ck_cpu_cap cap = ck_cpu_get_cap();
    for (size_t v = 0; v < COUNT(forms); v++) {
        if (forms[v].cap > cap) continue;
        ck_cpu_set_cap(forms[v].cap);
        forget();
        random_fill(key, sizeof key);
        ck_gf128_init(&hash, key);
        add_secret(key, 16);
        add_secret(hash.powers, sizeof hash.powers);
        add_secret(hash.folded, sizeof hash.folded);
        add_secret(pad, sizeof pad);
        under_test(forms[v].name, 16);
        check(words_left(hash_begin) == 0, "begin: no power of the key on the stack");
        for (size_t i = 0; i < COUNT(lengths); i++) {
            length = lengths[i];
            under_test(forms[v].name, length);
            check(words_left(hash_update) == 0, "update: no power of the key on the stack");
            check(words_left(hash_seal) == 0, "seal: no power of the key and no pad on the stack");
            check(words_left(hash_open) == 0, "open: no power of the key and no pad on the stack");
            check(words_left(hash_finish) == 0, "finish: no power of the key on the stack");
        }
    }
    ck_cpu_set_cap(cap);
}

// The words are new at each call, so that they are looked for behind it.
static void noise_source(void) {
    for (length = 8; length <= 64; length += 8) {
        under_test("rdseed", length);
        (void)words_left(noise);
        forget();
        add_secret(out, filled);
        size_t found = 0;
        for (size_t at = 0; at + 8 <= STACK; at++) {
            uint64_t word;
            memcpy(&word, stack + at, 8);
            found += is_secret(word);
        }
        check(found == 0, "no word of noise on the stack");
    }
}

void prove_stack(void) {
    stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) {
        perror("a stack");
        exit(71);
    }
    random_fill(x, sizeof x);
    random_fill(pad, sizeof pad);
    random_fill(key, sizeof key);
    add_secret(key, sizeof key);
    under_test("planted", 32);
    check(words_left(planted) >= 4, "a planted leak is found");
    ciphers();
    hashes();
    noise_source();
    munmap(stack, STACK);
}

#else

void prove_stack(void) {}

#endif

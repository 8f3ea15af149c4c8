// Looks for many short samples of secrets at every byte of files.
//
//   search SAMPLES FILE...
//
// SAMPLES: records of a class (1 byte) and a word (8 bytes). Prints, for each class that was met, the class, the number
// of its distinct words that are somewhere in the files, and the file and place of the first.
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { piece = 1 << 20, record = 9 };

static uint64_t *words;
static uint8_t *classes;
static uint8_t *seen;
static size_t mask;
// One bit for each value of a word's first 24 bits: most positions end here.
static uint8_t first[1 << 21];

static size_t place_of(uint64_t word) {
    size_t at = (size_t)((word * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & mask;
    while (classes[at] != 0 && words[at] != word) at = (at + 1) & mask;
    return at;
}

static uint64_t load(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return __builtin_bswap64(word);
}

static void read_samples(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) exit((perror(path), 66));
    fseek(file, 0, SEEK_END);
    const size_t count = (size_t)ftell(file) / record;
    rewind(file);
    size_t slots = 1024;
    while (slots < 4 * count) slots *= 2;
    mask = slots - 1;
    words = calloc(slots, sizeof *words);
    classes = calloc(slots, 1);
    seen = calloc(slots, 1);
    if (!words || !classes || !seen) exit(71);
    uint8_t sample[record];
    while (fread(sample, record, 1, file) == 1) {
        const uint64_t word = load(sample + 1);
        const size_t at = place_of(word);
        words[at] = word;
        classes[at] = sample[0];
        first[word >> 43] |= (uint8_t)(1u << (word >> 40 & 7));
    }
    fclose(file);
}

static size_t found[256];
static const char *where[256];
static uint64_t offset[256];

static void search(const char *path, uint8_t *buffer) {
    const int file = open(path, O_RDONLY);
    if (file < 0) exit((perror(path), 66));
    // What the kernel wrote past the cache, as to swap, is not hidden by what the cache holds.
    (void)posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    size_t kept = 0;
    uint64_t base = 0;
    ssize_t got;
    while ((got = read(file, buffer + kept, piece)) > 0) {
        const size_t count = kept + (size_t)got;
        for (size_t at = 0; at + 8 <= count; at++) {
            const uint64_t word = load(buffer + at);
            if (!(first[word >> 43] >> (word >> 40 & 7) & 1)) continue;
            const size_t slot = place_of(word);
            if (classes[slot] == 0 || seen[slot]) continue;
            seen[slot] = 1;
            if (found[classes[slot]]++ == 0) {
                where[classes[slot]] = path;
                offset[classes[slot]] = base + at;
            }
        }
        const size_t rest = count < 7 ? count : 7;
        memmove(buffer, buffer + count - rest, rest);
        base += count - rest;
        kept = rest;
    }
    if (got < 0) exit((perror(path), 74));
    close(file);
}

int main(int count, char **arguments) {
    if (count < 3) return 64;
    read_samples(arguments[1]);
    uint8_t *buffer = malloc(piece + 8);
    if (!buffer) return 71;
    for (int index = 2; index < count; index++) search(arguments[index], buffer);
    for (int kind = 0; kind < 256; kind++) {
        if (found[kind] > 0) printf("%c %zu %s %" PRIu64 "\n", kind, found[kind], where[kind], offset[kind]);
    }
    return 0;
}

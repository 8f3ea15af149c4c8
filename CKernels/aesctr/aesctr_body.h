// Counter mode on AES instructions, compiled once per register width. The including file defines TARGET, VARIANT(name)
// for the name of its one public function, `vector` of LANES blocks, and the operations LOAD, STORE, XOR, ADD64, ENC,
// ENCLAST, REVERSE (the bytes of every block) and BROADCAST (a block into all lanes).
//
// Two of the fourteen rounds are shared among 256 blocks. Of consecutive counters that agree in all but the last byte
// x, round 1 changes column 0 only, by bytes that depend on x and on counter bytes 0, 5 and 10, which MixColumns adds
// to it. Round 2 carries these four bytes to one byte of each column, and adds their columns, so that
//
//     state after round 2 = base(counter with x = 0) + difference[x]
//
// where difference[x] depends on the key and on bytes 0, 5 and 10 alone (Bernstein and Schwabe, "New AES software speed
// records", 2008, for the first round; Park and Lee, "FACE", 2018, for the second). Byte 10 counts blocks by 2^40, so
// one table of 256 differences serves a request. It is read in the order of the counter, which is public.

// Eight registers are in flight, because a round takes four cycles and up to two of them start every cycle.
enum { WIDTH = 16 * LANES, IN_FLIGHT = 8, GROUP = IN_FLIGHT * WIDTH, GROUP_BLOCKS = IN_FLIGHT * LANES };

// Shorter requests do not earn the table back: measured on Zen 4 the two ways meet at 11 KiB with 128 bits, 12 KiB with
// 256 bits and 18 KiB with 512 bits.
enum { SHARING_MINIMUM = 16 << 10 };

#define INLINE TARGET __attribute__((always_inline)) static inline

// Round keys are loaded in every turn of a loop: a compiler that keeps them over the turns saves some on the stack,
// where they stay.
#define FROM_MEMORY(keys) __asm__("" : "+r"(keys))

typedef struct {
    uint64_t high, low;
} position;

INLINE uint64_t load_big(const uint8_t *p) {
    uint64_t value;
    memcpy(&value, p, 8);
    return __builtin_bswap64(value);
}

INLINE void store_big(uint8_t *p, uint64_t value) {
    value = __builtin_bswap64(value);
    memcpy(p, &value, 8);
}

INLINE __m128i block_of(position at) {
    return _mm_set_epi64x((long long)__builtin_bswap64(at.low), (long long)__builtin_bswap64(at.high));
}

INLINE __m128i two_rounds(const ck_aes256 *schedule, position at) {
    const __m128i *k = (const __m128i *)schedule->round_keys;
    const __m128i x = _mm_xor_si128(block_of(at), _mm_loadu_si128(k));
    return _mm_aesenc_si128(_mm_aesenc_si128(x, _mm_loadu_si128(k + 1)), _mm_loadu_si128(k + 2));
}

// The rounds from `round` to the last; operands join with the last round key. `round` and `operands` are constants at
// every call, so that loops unroll and unused loads vanish.
INLINE void rounds(
    vector x[IN_FLIGHT], int round, const vector k[CK_AES256_ROUNDS + 1], uint8_t *out, const uint8_t *a,
    const uint8_t *b, int operands) {
    for (; round < CK_AES256_ROUNDS; round++)
        for (int i = 0; i < IN_FLIGHT; i++) x[i] = ENC(x[i], k[round]);
    for (int i = 0; i < IN_FLIGHT; i++) {
        vector last = k[CK_AES256_ROUNDS];
        if (operands > 0) last = XOR(last, LOAD(a + WIDTH * i));
        if (operands > 1) last = XOR(last, LOAD(b + WIDTH * i));
        STORE(out + WIDTH * i, ENCLAST(x[i], last));
    }
}

// The counters from `at` on, as little-endian numbers of two 64-bit words; ONE_STEP is the way to the next vector's.
INLINE vector counters(position at) {
    uint64_t words[2 * LANES];
    for (int lane = 0; lane < LANES; lane++) words[2 * lane] = at.low + (uint64_t)lane, words[2 * lane + 1] = at.high;
    return LOAD((const uint8_t *)words);
}

INLINE vector one_step(void) {
    uint64_t words[2 * LANES];
    for (int lane = 0; lane < LANES; lane++) words[2 * lane] = LANES, words[2 * lane + 1] = 0;
    return LOAD((const uint8_t *)words);
}

// All fourteen rounds for n bytes, for what is too short or not aligned for sharing.
INLINE void plain(
    const vector k[CK_AES256_ROUNDS + 1], position at, uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n,
    int operands) {
    const vector step = one_step();
    vector counter = counters(at);
    uint8_t rest[GROUP];
    for (;;) {
        FROM_MEMORY(k);
        vector x[IN_FLIGHT];
        for (int i = 0; i < IN_FLIGHT; i++) {
            x[i] = XOR(REVERSE(counter), k[0]);
            counter = ADD64(counter, step);
        }
        if (n < GROUP) {
            if (n == 0) return;
            rounds(x, 1, k, rest, 0, 0, 0);
            break;
        }
        rounds(x, 1, k, out, a, b, operands);
        out += GROUP, a += GROUP, b += GROUP, n -= GROUP;
    }
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(rest + i));
        if (operands > 0) x = _mm_xor_si128(x, _mm_loadu_si128((const __m128i *)(a + i)));
        if (operands > 1) x = _mm_xor_si128(x, _mm_loadu_si128((const __m128i *)(b + i)));
        _mm_storeu_si128((__m128i *)(out + i), x);
    }
    for (; i < n; i++) out[i] = (uint8_t)(rest[i] ^ (operands > 0 ? a[i] : 0) ^ (operands > 1 ? b[i] : 0));
    ck_wipe(rest, sizeof rest);
}

// n bytes, a multiple of GROUP, from a counter whose last byte is a multiple of GROUP_BLOCKS.
INLINE void shared(
    const ck_aes256 *schedule, const vector k[CK_AES256_ROUNDS + 1], position at, uint8_t *out, const uint8_t *a,
    const uint8_t *b, size_t n, int operands) {
    _Alignas(64) uint8_t difference[256 * 16];
    position start = {at.high, at.low & ~(uint64_t)255};
    const vector step = one_step(), zeroth = BROADCAST(two_rounds(schedule, start));
    vector counter = counters(start);
    for (int i = 0; i < 256 * 16; i += WIDTH) {
        STORE(difference + i, XOR(ENC(ENC(XOR(REVERSE(counter), k[0]), k[1]), k[2]), zeroth));
        counter = ADD64(counter, step);
    }
    size_t x0 = 16 * (size_t)(at.low & 255);
    while (n > 0) {
        const vector base = BROADCAST(two_rounds(schedule, start));
        size_t end = x0 + n < sizeof difference ? x0 + n : sizeof difference;
        for (; x0 < end; x0 += GROUP) {
            FROM_MEMORY(k);
            vector x[IN_FLIGHT];
            for (int i = 0; i < IN_FLIGHT; i++) x[i] = XOR(base, LOAD(difference + x0 + WIDTH * i));
            rounds(x, 3, k, out, a, b, operands);
            out += GROUP, a += GROUP, b += GROUP, n -= GROUP;
        }
        start.low += 256;
        x0 = 0;
    }
    ck_wipe(difference, sizeof difference);
}

// n bytes whose counters agree in all but the last 40 bits.
INLINE void span(
    const ck_aes256 *schedule, const vector k[CK_AES256_ROUNDS + 1], position at, uint8_t *out, const uint8_t *a,
    const uint8_t *b, size_t n, int operands) {
    if (n >= SHARING_MINIMUM) {
        const size_t head = 16 * (size_t)(-at.low & (GROUP_BLOCKS - 1)), body = (n - head) / GROUP * GROUP;
        plain(k, at, out, a, b, head, operands);
        at.low += head / 16;
        out += head, a += head, b += head, n -= head;
        shared(schedule, k, at, out, a, b, body, operands);
        at.low += body / 16;
        out += body, a += body, b += body, n -= body;
    }
    plain(k, at, out, a, b, n, operands);
}

TARGET void VARIANT(ck_aes256_ctr)(
    const ck_aes256 *schedule, uint8_t counter[16], uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n) {
    if (!a) a = b, b = 0;
    vector k[CK_AES256_ROUNDS + 1];
    for (int i = 0; i <= CK_AES256_ROUNDS; i++)
        k[i] = BROADCAST(_mm_loadu_si128((const __m128i *)schedule->round_keys[i]));
    while (n > 0) {
        position at = {load_big(counter), load_big(counter + 8)};
        const uint64_t border = (uint64_t)1 << 40, room = border - (at.low & (border - 1));
        const size_t bytes = (n - 1) / 16 < room ? n : (size_t)room * 16;
        if (!a) span(schedule, k, at, out, out, out, bytes, 0);
        else if (!b) span(schedule, k, at, out, a, a, bytes, 1);
        else span(schedule, k, at, out, a, b, bytes, 2);
        const uint64_t low = at.low + (bytes + 15) / 16;
        store_big(counter + 8, low);
        store_big(counter, at.high + (low < at.low));
        out += bytes, n -= bytes;
        if (a) a += bytes;
        if (b) b += bytes;
    }
    ck_wipe(k, sizeof k);
}

// Polynomial hash over GF(2^128): the hash half of a Wegman-Carter tag.
//
// Field and bit order are those of GHASH (NIST SP 800-38D, 6.3 and 6.4): GF(2)[x] modulo x^128 + x^7 + x^2 + x + 1; the
// first bit of a block, the most significant bit of byte 0, is the coefficient of x^0.
//
//     H_k(m) = m_1 k^(L+1) + m_2 k^L + ... + m_L k^2 + length k
//
// m_1 ... m_L are the message's 16-byte blocks, the last one padded with zeros; `length` is the block whose first 64
// bits are zero and whose last 64 bits are the message's length in bits, big-endian. So H_k(m) = GHASH(k, {}, m). For
// two different messages of at most L blocks, H_k(m) + H_k(m') takes any one value with probability at most (L+1)/2^128
// over a uniform k. The hash alone authenticates nothing: a tag is H_k(m) + pad with 128 fresh bits of pad.
//
// All variants run in time that depends on the message's length only.
#ifndef CK_GF128_H
#define CK_GF128_H

#include <stddef.h>
#include <stdint.h>

enum { CK_GF128_POWERS = 32 };

// Secret: keep it in secret memory and wipe it with ck_wipe.
typedef struct {
    // k^32 ... k^1 in POLYVAL form, low word first; the portable form holds k^1 only.
    uint64_t powers[CK_GF128_POWERS][2];
    // The sum of each power's two words, twice over; not in the portable form.
    uint64_t folded[CK_GF128_POWERS][2];
    uint64_t sum[2];                     // the running value, same form
    uint64_t bytes;                      // message bytes so far
    uint8_t tail[16];                    // the block that is not yet whole
    uint32_t variant;                    // chosen at ck_gf128_init
    uint32_t unused;
} ck_gf128;

// Begins a message under a 16-byte key.
void ck_gf128_init(ck_gf128 *state, const void *key);

// Adds n bytes. Splitting a message differently never changes its hash.
void ck_gf128_update(ck_gf128 *state, const void *message, size_t n);

// out = data ^ pad over n bytes, and `out`, the ciphertext, joins the message; in one pass where the processor allows.
// Any alignment; out may be the same pointer as data, otherwise no overlap.
void ck_gf128_seal(ck_gf128 *state, void *out, const void *data, const void *pad, size_t n);

// The other way: the n bytes at `text`, which are ciphertext, join the message, and text ^= pad. What comes out is not
// authentic before the tag was compared: a caller whose tag is wrong wipes it. Any alignment; no overlap.
void ck_gf128_open(ck_gf128 *state, void *text, const void *pad, size_t n);

// Writes the 16-byte hash; the state is then ready for the next message under the same key.
void ck_gf128_finish(ck_gf128 *state, void *hash);

#endif

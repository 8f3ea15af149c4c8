// A base and its quality in one byte: the form in which aligned reads wait for the caller.
//
// A byte is quality * 4 + base for bases 0..3 (A, C, G, T) and qualities up to 62; from 252 on it is an N (base 4) whose
// quality is the lower two bits. Sequencers give an N a quality of 0 to 3, so nearly every read fits; the caller keeps
// the few others as they are.
#ifndef CK_BASEQUAL_H
#define CK_BASEQUAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Packs `count` bases (codes 0..4) with their qualities. False when one of them has no such form; `out` is then
// without meaning. `out` overlaps neither input.
bool ck_pack_basequal(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out);

// As above, back to front and complemented: a read of the reverse strand as it lies on the reference.
bool ck_pack_basequal_reverse(const uint8_t *codes, const uint8_t *qualities, size_t count, uint8_t *out);

// The way back. Any byte is a valid form.
void ck_unpack_basequal(const uint8_t *packed, size_t count, uint8_t *codes, uint8_t *qualities);

#endif

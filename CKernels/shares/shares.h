// The (2,3)-threshold XOR scheme on one block, after Fujiwara et al. (2022). A block is two halves of `half` bytes, X1
// || X2; every buffer here holds 2 half bytes. + is XOR, R = R1 || R2 is uniform and used once:
//
//     A = (S1+R1) || (S2+R2+R1)      B = (S1+R1+R2) || (S2+R2)      C = R1 || R2
//
// Any one share is uniform whatever S is; any two give S; and A + B = R2 || R1, C with its halves swapped.
// Any alignment. An output may be the same pointer as an input, otherwise nothing overlaps.
#ifndef CK_SHARES_H
#define CK_SHARES_H

#include <stddef.h>

// A, B from S and R; C is R itself. One pass, two XORs per secret byte.
void ck_share_split(void *a, void *b, const void *s, const void *r, size_t half);

// S from two shares, one pass, 1.5 XORs per secret byte.
void ck_share_join_ab(void *s, const void *a, const void *b, size_t half);
void ck_share_join_ac(void *s, const void *a, const void *c, size_t half);
void ck_share_join_bc(void *s, const void *b, const void *c, size_t half);

// A from B and C, or B from A and C: the same formula, out = share + swapped c. The secret is never formed.
// Outputs do not alias inputs in the two repair functions.
void ck_share_repair_ab(void *out, const void *share, const void *c, size_t half);
// C = swapped (a + b).
void ck_share_repair_c(void *out, const void *a, const void *b, size_t half);

// 1 when A + B + swapped C is zero, otherwise 0. Time depends on the length only.
int ck_share_consistent(const void *a, const void *b, const void *c, size_t half);

// Adds a sharing of zero made from z, which is uniform and the same for the three shares:
// A += z1 || z1+z2, B += z1+z2 || z2, C += z.
void ck_share_refresh_a(void *a, const void *z, size_t half);
void ck_share_refresh_b(void *b, const void *z, size_t half);
void ck_share_refresh_c(void *c, const void *z, size_t half);

#endif

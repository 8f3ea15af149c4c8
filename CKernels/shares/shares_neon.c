// The reference again, for NEON: its vectors are short, so that more of them are in flight.
#if defined(__aarch64__)

#include "shares_internal.h"

#define CK_VARIANT(name) name##_neon
#define TARGET
#define INTERLEAVE 4
#include "shares_body.h"

#endif

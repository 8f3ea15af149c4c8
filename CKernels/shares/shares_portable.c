// The reference.
#include "shares_internal.h"

#define CK_VARIANT(name) name##_portable
#define TARGET
#define INTERLEAVE 2
#include "shares_body.h"

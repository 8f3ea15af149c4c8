// The reference.
#include "seed_internal.h"

#define CK_VARIANT(name) name##_portable
#include "seed_body.h"

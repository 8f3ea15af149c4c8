// The reference.
#include "shares_internal.h"

#define CK_VARIANT(name) name##_portable
#define TARGET
#include "shares_body.h"

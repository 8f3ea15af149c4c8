// The reference.
#include "align_internal.h"

#define CK_VARIANT(name) name##_portable
#include "align_body.h"

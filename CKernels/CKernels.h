// Umbrella of the C kernels: one folder, one header, one line here. Swift sees exactly what this file includes.
#ifndef CKERNELS_H
#define CKERNELS_H

#include "cpu/ck_cpu.h"

#include "aesctr/aesctr.h"
#include "align/align.h"
#include "base64/base64.h"
#include "basequal/basequal.h"
#include "datagram/datagram.h"
#include "deflate/deflate.h"
#include "gf128/gf128.h"
#include "health/health.h"
#include "memory/memory.h"
#include "pack/pack.h"
#include "pairhmm/pairhmm.h"
#include "process/process.h"
#include "rdseed/rdseed.h"
#include "repeats/repeats.h"
#include "seed/seed.h"
#include "shares/shares.h"
#include "text/text.h"
#include "vcf/vcf.h"
#include "xor/xor.h"

#endif

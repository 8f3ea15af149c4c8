// What the processor can do, and the cap that a person puts on it. Every kernel picks its variant through this header.
#ifndef CK_CPU_H
#define CK_CPU_H

#include <stdbool.h>
#include <stdint.h>

// Feature bits. A bit is set when the processor has the instructions and the kernel saves the registers they need.
#define CK_CPU_AVX2 (1u << 0)             // AVX2, BMI1, BMI2, POPCNT, FMA
#define CK_CPU_AVX512 (1u << 1)           // AVX-512 F, BW, CD, DQ and VL
#define CK_CPU_AVX512_VBMI (1u << 2)
#define CK_CPU_AVX512_VBMI2 (1u << 3)
#define CK_CPU_AVX512_VPOPCNTDQ (1u << 4)
#define CK_CPU_PCLMULQDQ (1u << 5)        // with AVX
#define CK_CPU_VPCLMULQDQ (1u << 6)
#define CK_CPU_AES (1u << 7)              // AES-NI with SSSE3, or ARMv8's AES instructions
#define CK_CPU_VAES (1u << 8)
#define CK_CPU_GFNI (1u << 9)
#define CK_CPU_NEON (1u << 10)
#define CK_CPU_PMULL (1u << 11)

// Upper limit on what dispatch may use. `portable` clears every bit, which leaves the architecture's baseline: results
// of 4 MiB and more still take SSE2's streaming stores on x86-64 (ck_stream.h). `avx2` clears the AVX-512 bits and with
// them VAES, VPCLMULQDQ and GFNI (so that it names one thing: the instruction set of a 2013 server); `avx512` and
// `neon` are no limit, each the most that its architecture has. What another architecture has is not limited by a cap
// but `portable`.
typedef enum {
    CK_CPU_CAP_PORTABLE = 0,
    CK_CPU_CAP_AVX2 = 1,
    CK_CPU_CAP_AVX512 = 2,
    CK_CPU_CAP_NEON = 3
} ck_cpu_cap;

// Features of the processor under the cap. The first call reads DSGD_CPU_CAP (portable | avx2 | avx512 | neon); an
// unknown name prints one line on standard error and ends the process with exit code 78. Thread-safe; afterwards one
// relaxed load.
uint32_t ck_cpu_features(void);

// Features of the processor whatever the cap.
uint32_t ck_cpu_detected(void);

ck_cpu_cap ck_cpu_get_cap(void);

// Replaces the cap. For tests and benchmarks; kernels that are under way finish with the variant they began with.
void ck_cpu_set_cap(ck_cpu_cap cap);

// True when every bit of `wanted` is there under the cap.
static inline bool ck_cpu_has(uint32_t wanted) { return (ck_cpu_features() & wanted) == wanted; }

#endif

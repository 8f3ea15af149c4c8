// Compiles all functions between CK_AVX2_BEGIN and CK_AVX2_END for AVX2 with bit manipulation, or between their like
// for AVX-512 with population counts (CK_CPU_AVX512 and CK_CPU_AVX512_VPOPCNTDQ), without -m options: for variants that
// are portable C compiled again. Functions with intrinsics of their own carry their own attribute.
#ifndef CK_TARGET_H
#define CK_TARGET_H

#if defined(__x86_64__)
#if defined(__clang__)
#define CK_PRAGMA(text) _Pragma(#text)
#define CK_AVX2_BEGIN \
    _Pragma("clang attribute push(__attribute__((target(\"avx2,bmi,bmi2,popcnt\"))), apply_to = function)")
#define CK_AVX2_END _Pragma("clang attribute pop")
#define CK_AVX512_BEGIN \
    CK_PRAGMA(clang attribute push( \
        __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,bmi,bmi2,popcnt"))), \
        apply_to = function))
#define CK_AVX512_END _Pragma("clang attribute pop")
#else
#define CK_AVX2_BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,bmi,bmi2,popcnt\")")
#define CK_AVX2_END _Pragma("GCC pop_options")
#define CK_AVX512_BEGIN \
    _Pragma("GCC push_options") \
    _Pragma("GCC target(\"avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,bmi,bmi2,popcnt\")")
#define CK_AVX512_END _Pragma("GCC pop_options")
#endif
#endif

#endif

// Compiles all functions between CK_AVX2_BEGIN and CK_AVX2_END for AVX2 with bit manipulation, without -m options: for
// variants that are portable C compiled again. Functions with intrinsics of their own carry their own attribute.
#ifndef CK_TARGET_H
#define CK_TARGET_H

#if defined(__x86_64__)
#if defined(__clang__)
#define CK_AVX2_BEGIN \
    _Pragma("clang attribute push(__attribute__((target(\"avx2,bmi,bmi2,popcnt\"))), apply_to = function)")
#define CK_AVX2_END _Pragma("clang attribute pop")
#else
#define CK_AVX2_BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,bmi,bmi2,popcnt\")")
#define CK_AVX2_END _Pragma("GCC pop_options")
#endif
#endif

#endif

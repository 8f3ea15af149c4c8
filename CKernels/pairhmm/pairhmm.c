#include "pairhmm_internal.h"

#include "../cpu/ck_cpu.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

// Denormals are flushed in every variant: they would cost a hundred cycles each and never reach a trusted sum.
static void run(ck_pairhmm_variant *variant, const ck_pairhmm_read *reads, size_t count,
                const ck_pairhmm_haplotype *haplotype, float gap_extend, void *scratch, double *log10_likelihood) {
#if defined(__x86_64__)
    unsigned saved = _mm_getcsr();
    _mm_setcsr(saved | 0x8040);  // flush to zero, denormals are zero
    variant(reads, count, haplotype, gap_extend, scratch, log10_likelihood);
    _mm_setcsr(saved);
#elif defined(__aarch64__)
    uint64_t saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" : : "r"(saved | 1u << 24) : "memory");  // flush to zero, of operands too
    variant(reads, count, haplotype, gap_extend, scratch, log10_likelihood);
    __asm__ volatile("msr fpcr, %0" : : "r"(saved) : "memory");
#else
    variant(reads, count, haplotype, gap_extend, scratch, log10_likelihood);
#endif
}

void ck_pairhmm_portable(const ck_pairhmm_read *reads, size_t count, const ck_pairhmm_haplotype *haplotype,
                         float gap_extend, void *scratch, double *log10_likelihood) {
    run(ck_pairhmm_scalar, reads, count, haplotype, gap_extend, scratch, log10_likelihood);
}

void ck_pairhmm(const ck_pairhmm_read *reads, size_t count, const ck_pairhmm_haplotype *haplotype, float gap_extend,
                void *scratch, double *log10_likelihood) {
    ck_pairhmm_variant *variant = ck_pairhmm_scalar;
#if defined(__x86_64__)
    if (ck_cpu_has(CK_CPU_AVX512)) {
        variant = ck_pairhmm_avx512;
    } else if (ck_cpu_has(CK_CPU_AVX2)) {
        variant = ck_pairhmm_avx2;
    }
#endif
    run(variant, reads, count, haplotype, gap_extend, scratch, log10_likelihood);
}

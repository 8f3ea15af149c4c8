// The variants behind vcf.h. Not part of the public header.
#ifndef CK_VCF_INTERNAL_H
#define CK_VCF_INTERNAL_H

#include "vcf.h"

#define CK_VCF_VARIANT(name) \
    size_t ck_vcf_scan_##name( \
        const uint8_t *text, size_t n, size_t columns, bool wants_end, ck_vcf_record *records, size_t capacity, \
        size_t *scanned);

CK_VCF_VARIANT(portable)
#if defined(__x86_64__)
CK_VCF_VARIANT(avx2)
CK_VCF_VARIANT(avx512)
#endif

#endif

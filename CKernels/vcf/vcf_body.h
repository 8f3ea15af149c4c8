// Splitting records as one text for all variants. Each defines VCF_TARGET (its attribute), VCF_NAME(name), and
//   masks(text, left, &tabs, &feeds, &nuls): which of the next 64 bytes (or of the `left` ones) are tab, LF and NUL
//   end_key(text, left): which of the next 64 bytes begin "END=", where as many as are left hold all of it
#include <string.h>

VCF_TARGET static inline bool VCF_NAME(is_letter)(uint8_t byte) { return (uint8_t)((byte | 32) - 'a') < 26; }

// A number of one to ten digits up to 2^31 - 1, or 0 where there is none. `room` is how many bytes before `end` may be
// read.
VCF_TARGET static inline uint32_t VCF_NAME(number)(const uint8_t *end, size_t digits, size_t room) {
    if (digits - 1 > 9) return 0;
    uint64_t above = 0;
    for (; digits > 8; digits--) {
        const uint8_t digit = (uint8_t)(*(end - digits) - '0');
        if (digit > 9) return 0;
        above = above * 10 + digit;
    }
    uint64_t word = 0;
    if (room >= 8) memcpy(&word, end - 8, 8);
    else for (size_t i = 1; i <= digits; i++) word |= (uint64_t) * (end - i) << (64 - 8 * i);
    word ^= 0x3030303030303030u;
    word &= ~0ull << (64 - 8 * digits);
    if (((word + 0x7676767676767676u) | word) & 0x8080808080808080u) return 0;
    word = word * 10 + (word >> 8);
    const uint64_t low = (word & 0x000000ff000000ffu) * 0x000f424000000064u;
    const uint64_t high = ((word >> 16) & 0x000000ff000000ffu) * 0x0000271000000001u;
    const uint64_t value = above * 100000000 + (uint32_t)((low + high) >> 32);
    return value <= INT32_MAX ? (uint32_t)value : 0;
}

// "." or digits, with at most one point behind the first. `room` is how many bytes before `end` may be read.
VCF_TARGET static inline bool VCF_NAME(is_plain_quality)(const uint8_t *end, size_t n, size_t room) {
    if (n == 1) return end[-1] == '.' || (uint8_t)(end[-1] - '0') < 10;
    if (n - 1 < 8 && room >= 8) {
        // Eight bytes at once, of which the upper n count: lengths differ from line to line, and a loop would stumble.
        const uint64_t low7 = 0x7f7f7f7f7f7f7f7fu, mine = ~0ull << (64 - 8 * n);
        uint64_t word;
        memcpy(&word, end - 8, 8);
        const uint64_t digits = (word ^ 0x3030303030303030u) & mine, points = (word ^ 0x2e2e2e2e2e2e2e2eu) | ~mine;
        const uint64_t others = (((digits & low7) + 0x7676767676767676u) | digits) & ~low7;
        const uint64_t found = ~(((points & low7) + low7) | points | low7);
        return others == found && (found & (found - 1)) == 0 && (found >> (71 - 8 * n) & 1) == 0;
    }
    bool has_point = false;
    for (size_t i = 0; i < n; i++) {
        const uint8_t byte = *(end - n + i);
        if ((uint8_t)(byte - '0') < 10) continue;
        if (byte != '.' || has_point || i == 0) return false;
        has_point = true;
    }
    return n > 0;
}

// Whether two lines begin with the same `n` bytes; both have at least eight.
VCF_TARGET static inline bool VCF_NAME(is_same)(const uint8_t *a, const uint8_t *b, size_t n) {
    if (n > 8) return memcmp(a, b, n) == 0;
    uint64_t first, second;
    memcpy(&first, a, 8);
    memcpy(&second, b, 8);
    return ((first ^ second) & (~0ull >> (64 - 8 * n))) == 0;
}

// INFO/END of a record whose columns are known; 0 where there is none, and where it is not a plain number.
VCF_TARGET static inline uint32_t VCF_NAME(info_end)(const uint8_t *text, const ck_vcf_record *record, bool *is_odd) {
    const size_t from = record->filter_end + 1, to = record->info_end;
    for (size_t at = from; at + 4 <= to; at += 61) {
        uint64_t found = VCF_NAME(end_key)(text + at, to - at);
        for (; found; found &= found - 1) {
            const size_t place = at + (size_t)__builtin_ctzll(found);
            if (place != from && text[place - 1] != ';') continue;
            const uint8_t *stop = memchr(text + place, ';', to - place);
            const size_t end = stop ? (size_t)(stop - text) : to;
            const uint32_t value = VCF_NAME(number)(text + end, end - place - 4, end - record->line);
            if (value == 0) *is_odd = true;
            return value;
        }
    }
    return 0;
}

VCF_TARGET static inline bool VCF_NAME(finish)(
    const uint8_t *text, ck_vcf_record *record, const ck_vcf_record *before, bool wants_end) {
    const uint32_t *ends = &record->chrom_end;
    const uint32_t position = VCF_NAME(number)(text + ends[1], ends[1] - ends[0] - 1, ends[1] - record->line);
    const size_t ref = ends[2] + 1, ref_length = ends[3] - ref;
    if (position == 0 || ref_length == 0 || ends[4] == ends[3] + 1 || ends[0] == record->line) return false;
    for (size_t i = 0; i < ref_length; i++) {
        if (!VCF_NAME(is_letter)(text[ref + i])) return false;
    }
    if (!VCF_NAME(is_plain_quality)(text + ends[5], ends[5] - ends[4] - 1, ends[5] - record->line)) return false;
    record->position = position;
    record->last = position + (uint32_t)ref_length - 1;
    if (wants_end) {
        bool is_odd = false;
        const uint32_t end = VCF_NAME(info_end)(text, record, &is_odd);
        if (is_odd) return false;
        if (end >= position) {
            record->last = end;
            record->flags |= CK_VCF_END;
        }
    }
    const size_t length = ends[0] - record->line;
    if (before && !(before->flags & CK_VCF_CHECK) && before->chrom_end - before->line == length &&
        VCF_NAME(is_same)(text + before->line, text + record->line, length)) {
        record->flags |= CK_VCF_SAME_CONTIG;
        if (position < before->position) record->flags |= CK_VCF_BACKWARDS;
    }
    return true;
}

VCF_TARGET size_t VCF_NAME(ck_vcf_scan)(
    const uint8_t *text, size_t n, size_t columns, bool wants_end, ck_vcf_record *records, size_t capacity,
    size_t *scanned) {
    size_t count = 0, tab = 0, line = 0;
    bool has_nul = false;
    // Tabs go where they stay: a copy of many by one load would wait for their stores.
    uint32_t *ends = &records->chrom_end;
    for (size_t at = 0; at < n && count < capacity; at += 64) {
        uint64_t tabs, feeds, nuls;
        VCF_NAME(masks)(text + at, n - at, &tabs, &feeds, &nuls);
        // Every turn of the loop takes what the word holds of one line.
        while (true) {
            const uint64_t here = feeds ? (feeds & -feeds) - 1 : ~0ull;
            if (nuls & here) has_nul = true;
            uint64_t mine = tabs & here;
            for (; mine && tab < 8; mine &= mine - 1) ends[tab++] = (uint32_t)at + (uint32_t)__builtin_ctzll(mine);
            tab += (size_t)__builtin_popcountll(mine);
            if (!feeds) break;
            const size_t feed = at + (size_t)__builtin_ctzll(feeds);
            ck_vcf_record *record = records + count;
            record->line = (uint32_t)line;
            record->end = (uint32_t)feed;
            record->flags = 0;
            if (feed > line && text[feed - 1] == '\r') {
                record->end -= 1;
                record->flags = CK_VCF_CR;
            }
            if (columns == 8) record->info_end = record->end;
            if (has_nul || tab + 1 != columns ||
                !VCF_NAME(finish)(text, record, count ? record - 1 : NULL, wants_end)) {
                record->flags = (record->flags & CK_VCF_CR) | CK_VCF_CHECK;
            }
            count++;
            ends = &records[count].chrom_end;
            line = feed + 1;
            tab = 0;
            has_nul = false;
            tabs &= ~here;
            nuls &= ~here;
            feeds &= feeds - 1;
            if (count == capacity) break;
        }
    }
    *scanned = line;
    return count;
}

import CKernels
import Testing

/// Kernels against plain Swift, and their variants against each other.
@Suite(.serialized) struct KernelTests {
    private func planes(_ codes: [UInt8]) -> [UInt64] {
        var words = [UInt64](repeating: 0, count: ck_plane_words(codes.count) + 6)
        for block in 0..<words.count / 3 { words[3 * block + 2] = ~0 }
        ck_pack_planes(codes, codes.count, &words)
        return words
    }

    @Test func packingKeepsEveryBase() {
        var random = TestRandom(1)
        for count in [1, 63, 64, 65, 200] {
            let codes = (0..<count).map { _ in UInt8(random.below(5)) }
            let words = planes(codes)
            var back = [UInt8](repeating: 9, count: count)
            ck_unpack_planes(words, 0, count, &back)
            #expect(back == codes)
            if count > 10 {
                var tail = [UInt8](repeating: 9, count: count - 7)
                ck_unpack_planes(words, 7, count - 7, &tail)
                #expect(tail == Array(codes[7...]))
            }
            var complement = [UInt8](repeating: 9, count: count)
            ck_reverse_complement(codes, count, &complement)
            #expect(complement == reverseComplement(codes))
        }
    }

    /// Runs `body` under every cap and returns what it answers.
    private func underEveryCap<T>(_ body: () -> T) -> [T] {
        [CK_CPU_CAP_PORTABLE, CK_CPU_CAP_AVX2, CK_CPU_CAP_AVX512].map { cap in
            let before = ck_cpu_get_cap()
            ck_cpu_set_cap(cap)
            defer { ck_cpu_set_cap(before) }
            return body()
        }
    }

    @Test func variantsPackTurnAndSampleAlike() {
        var random = TestRandom(9)
        for count in [0, 1, 21, 31, 32, 33, 63, 64, 65, 150, 151, 500, 8192] {
            var codes = random.sequence(count)
            if count % 3 == 0 && count > 40 { codes[random.below(count)] = 4 }
            for shape in [ck_seed_shape(window: 7, extension: 3), ck_seed_shape(window: 5, extension: 1)] {
                let seeds = underEveryCap { () -> [UInt64] in
                    var keys = [UInt64](repeating: 0, count: count + 16)
                    var offsets = [UInt32](repeating: 0, count: count + 16)
                    let found = ck_find_seeds(codes, count, shape, &keys, &offsets)
                    return keys.prefix(found) + offsets.prefix(found).map(UInt64.init)
                }
                #expect(seeds[0] == seeds[1] && seeds[0] == seeds[2], "\(count) bases")
            }
            let packed = underEveryCap { () -> [UInt64] in
                var words = [UInt64](repeating: 7, count: ck_plane_words(count))
                ck_pack_planes(codes, count, &words)
                return words
            }
            #expect(packed[0] == packed[1] && packed[0] == packed[2], "\(count) bases")
            let turned = underEveryCap { () -> [UInt8] in
                var out = [UInt8](repeating: 9, count: 2 * count)
                out.withUnsafeMutableBufferPointer {
                    guard let to = $0.baseAddress else { return }
                    ck_reverse_complement(codes, count, to)
                    ck_reverse_bytes(codes, count, to + count)
                }
                return out
            }
            #expect(turned.allSatisfy { $0 == reverseComplement(codes) + codes.reversed() }, "\(count) bases")
            #expect(ck_sum_qualities(codes, count, 2) == codes.reduce(0) { $0 + ($1 >= 2 ? UInt32($1) : 0) })
        }
    }

    @Test func basesAndQualitiesShareAByte() {
        var random = TestRandom(10)
        for count in [0, 1, 31, 32, 33, 63, 64, 65, 100, 150, 151, 500] {
            for (most, isWide) in [(63, false), (94, true)] {
                var bases = random.sequence(count)
                var qualities = (0..<count).map { _ in UInt8(random.below(most)) }
                for _ in 0..<count / 20 {
                    let place = random.below(count)
                    (bases[place], qualities[place]) = (4, UInt8(random.below(4)))
                }
                if isWide, count > 0 { qualities[random.below(count)] = 63 }
                for turned in [false, true] {
                    let (wantedBases, wantedQualities) =
                        turned ? (reverseComplement(bases), Array(qualities.reversed())) : (bases, qualities)
                    let packed = underEveryCap { () -> [UInt8]? in
                        var out = [UInt8](repeating: 9, count: count)
                        let fits =
                            turned
                            ? ck_pack_basequal_reverse(bases, qualities, count, &out)
                            : ck_pack_basequal(bases, qualities, count, &out)
                        return fits ? out : nil
                    }
                    #expect(packed[0] == packed[1] && packed[0] == packed[2])
                    #expect((packed[0] == nil) == (isWide && count > 0))
                    guard let form = packed[0] else { continue }
                    let back = underEveryCap { () -> [UInt8] in
                        var out = [UInt8](repeating: 9, count: 2 * count)
                        out.withUnsafeMutableBufferPointer {
                            guard let to = $0.baseAddress else { return }
                            ck_unpack_basequal(form, count, to, to + count)
                        }
                        return out
                    }
                    #expect(back.allSatisfy { $0 == wantedBases + wantedQualities })
                }
            }
        }
    }

    @Test func bothStrandsSampleTheSameSeeds() {
        var random = TestRandom(2)
        let codes = random.sequence(3000).enumerated().map { $0.offset == 1500 ? 4 : $0.element }
        let shape = ck_seed_shape(window: 5, extension: 1)
        let length = Int(ck_seed_length(shape))
        func seeds(_ codes: [UInt8]) -> [(UInt64, Int)] {
            var keys = [UInt64](repeating: 0, count: codes.count + 16)
            var offsets = [UInt32](repeating: 0, count: codes.count + 16)
            let count = ck_find_seeds(codes, codes.count, shape, &keys, &offsets)
            return (0..<count).map { (keys[$0], Int(offsets[$0])) }
        }
        let forward = seeds(codes)
        let backward = seeds(reverseComplement(codes)).map { ($0.0 ^ 1, codes.count - length - $0.1) }.reversed()
        #expect(forward.map(\.0) == backward.map(\.0))
        #expect(forward.map(\.1) == backward.map(\.1))
        #expect(forward.count > 3000 / 7 && forward.count < 3000 / 4)
        #expect(forward.allSatisfy { !($0.1...($0.1 + length - 1)).contains(1500) })
    }

    /// The affine-gap score by the textbook recurrence over the whole window, clips at the agreed price.
    private func slowScore(_ read: [UInt8], _ window: [UInt8]) -> Int {
        let low = -1_000_000
        let columns = window.count + 1
        var match = [[Int]](repeating: [Int](repeating: low, count: columns), count: read.count + 1)
        var (insertion, deletion) = (match, match)
        var best = low
        for i in 0...read.count {
            for j in 0..<columns {
                if i == 0 {
                    match[0][j] = 0
                    continue
                }
                match[i][j] = i < read.count ? -5 : low
                guard j > 0 else { continue }
                let (a, b) = (read[i - 1], window[j - 1])
                let weight = a > 3 || b > 3 ? -1 : a == b ? 1 : -4
                insertion[i][j] = max(match[i - 1][j] - 7, insertion[i - 1][j] - 1)
                deletion[i][j] = max(match[i][j - 1] - 7, deletion[i][j - 1] - 1)
                let whole = max(match[i - 1][j - 1] + weight, insertion[i][j], deletion[i][j])
                best = max(best, i == read.count ? whole : whole - 5)
                match[i][j] = max(match[i][j], whole)
            }
        }
        return best
    }

    @Test func bandedAlignmentScoresAsTheTextbook() {
        var random = TestRandom(3)
        var scratch = [UInt8](repeating: 0, count: Int(CK_MAX_READ) * Int(CK_MAX_LANES) + 4096)
        for round in 0..<60 {
            let window = random.sequence(200)
            var read = Array(window[40..<140])
            switch round % 4 {
            case 0: read.removeSubrange(50..<50 + 1 + round % 9)
            case 1: read.insert(contentsOf: random.sequence(1 + round % 7), at: 30)
            case 2: for i in 0..<12 { read[i] = random.base() }
            default: for i in stride(from: 5, to: 100, by: 23) { read[i] = (read[i] + 1) & 3 }
            }
            if round % 5 == 0 { read[60] = 4 }
            let words = planes(window)
            var results: [ck_alignment] = []
            var cigars: [[UInt32]] = []
            for cap in [CK_CPU_CAP_PORTABLE, CK_CPU_CAP_AVX512] {
                let before = ck_cpu_get_cap()
                ck_cpu_set_cap(cap)
                var cigar = [UInt32](repeating: 0, count: Int(CK_MAX_CIGAR))
                let result = ck_align_banded(words, 8, 64, read, UInt32(read.count), &cigar, &scratch)
                ck_cpu_set_cap(before)
                results.append(result)
                cigars.append(Array(cigar.prefix(Int(result.cigar_count))))
            }
            #expect(cigars[0] == cigars[1] && results[0].score == results[1].score)
            let whole = slowScore(read, Array(window[8..<min(200, 8 + read.count + 64)]))
            #expect(Int(results[0].score) == whole, "round \(round)")
            #expect(score(cigars[0], read, window, Int(results[0].start)) == whole)
            let consumed = cigars[0].filter { $0 & 0xF != 2 }.reduce(0) { $0 + Int($1 >> 4) }
            #expect(consumed == read.count)
        }
    }

    private func score(_ cigar: [UInt32], _ read: [UInt8], _ window: [UInt8], _ start: Int) -> Int {
        var (q, r, total) = (0, start, 0)
        for operation in cigar {
            let length = Int(operation >> 4)
            switch operation & 0xF {
            case 0:
                for k in 0..<length {
                    let (a, b) = (read[q + k], window[r + k])
                    total += a > 3 || b > 3 ? -1 : a == b ? 1 : -4
                }
                q += length
                r += length
            case 1:
                total -= 6 + length
                q += length
            case 2:
                total -= 6 + length
                r += length
            default:
                total -= 5
                q += length
            }
        }
        return total
    }

    @Test func oneGapScoresAsTheTextbook() {
        var random = TestRandom(8)
        for round in 0..<80 {
            let window = random.sequence(260)
            let size = 1 + random.below(20)
            let at = 15 + random.below(70)
            var read = Array(window[60..<160])
            let isDeletion = round % 2 == 0
            if isDeletion { read = Array(window[60..<60 + at] + window[60 + at + size..<160 + size]) }
            if !isDeletion { read = Array((read[..<at] + random.sequence(size) + read[at...]).prefix(100)) }
            if round % 3 == 0 { read[5] = (read[5] + 1) & 3 }
            var packed = [UInt64](repeating: 0, count: Int(CK_READ_WORDS))
            ck_pack_planes(read, 100, &packed)
            let words = planes([UInt8](repeating: 4, count: 64) + window)
            let least = ck_score_diagonal(words, 124, packed, 100).score
            var cigar = [UInt32](repeating: 0, count: Int(CK_MAX_CIGAR))
            let found = ck_align_one_gap(words, 124, packed, 100, least, 24, nil, 0, &cigar)
            let whole = slowScore(read, Array(window[30..<200]))
            #expect(found.score == .min || (Int(found.score) <= whole && found.score > least))
            // A planted gap well inside the read is the best there is, unless clipping beats it.
            if at > 35 && at + size < 65 {
                #expect(max(Int(found.score), Int(least)) == whole, "round \(round)")
            }
            guard found.score != .min else { continue }
            let operations = Array(cigar.prefix(Int(found.cigar_count)))
            #expect(score(operations, read, window, Int(found.start) - 64) == Int(found.score), "round \(round)")
            #expect(operations.filter { $0 & 0xF != 2 }.reduce(0) { $0 + Int($1 >> 4) } == 100)
            #expect(operations.filter { $0 & 0xF == 1 || $0 & 0xF == 2 }.count == 1)
            let covered = operations.filter { $0 & 0xF == 0 || $0 & 0xF == 2 }.reduce(0) { $0 + Int($1 >> 4) }
            #expect(Int(found.end) - Int(found.start) == covered)
        }
    }

    @Test func gapsMoveToTheLeft() {
        var random = TestRandom(4)
        var scratch = [UInt8](repeating: 0, count: Int(CK_MAX_READ) * Int(CK_MAX_LANES) + 4096)
        // A run of ten A between C and G: a deletion of two of them belongs to the run's first two bases.
        let left = random.sequence(59) + [1]
        let right = [2] + random.sequence(59)
        let window = left + [UInt8](repeating: 0, count: 10) + right
        let read = Array(left[20...]) + [UInt8](repeating: 0, count: 8) + Array(right[..<40])
        let words = planes([UInt8](repeating: 4, count: 64) + window)
        var cigar = [UInt32](repeating: 0, count: Int(CK_MAX_CIGAR))
        let result = ck_align_banded(words, 64, 64, read, UInt32(read.count), &cigar, &scratch)
        #expect(Array(cigar.prefix(Int(result.cigar_count))) == [40 << 4, 2 << 4 | 2, 48 << 4])
        #expect(result.edits == 2 && result.start == 84)
    }

    @Test func variantsAgreeOnDiagonals() {
        var random = TestRandom(5)
        let reference = random.sequence(2000).map { base in base }
        let words = planes(reference)
        for length in [35, 64, 101, 150, 333, 500] {
            var read = Array(reference[700..<700 + length])
            for _ in 0..<length / 15 { read[random.below(length)] = UInt8(random.below(5)) }
            var packed = [UInt64](repeating: 0, count: Int(CK_READ_WORDS))
            ck_pack_planes(read, length, &packed)
            var seen: [[Int64]] = []
            for cap in [CK_CPU_CAP_PORTABLE, CK_CPU_CAP_AVX2, CK_CPU_CAP_AVX512] {
                let before = ck_cpu_get_cap()
                ck_cpu_set_cap(cap)
                let one = ck_score_diagonal(words, 700, packed, UInt32(length))
                var cigar = [UInt32](repeating: 0, count: Int(CK_MAX_CIGAR))
                let gap = ck_align_one_gap(words, 703, packed, UInt32(length), -20, 16, [25, -40], 2, &cigar)
                var starts = [UInt32](repeating: 0, count: 4)
                var scores = [Int32](repeating: 0, count: 4)
                let found = ck_scan_diagonals(words, 100, 1200, packed, UInt32(length), 12, &starts, &scores)
                ck_cpu_set_cap(before)
                seen.append([
                    Int64(one.score), Int64(one.edits), Int64(one.clip_left), Int64(gap.score), Int64(gap.start),
                    Int64(found), Int64(starts[0]), Int64(scores[0]), Int64(cigar[0]), Int64(cigar[1]),
                ])
            }
            #expect(seen[0] == seen[1] && seen[0] == seen[2])
            #expect(seen[0][6] == 700, "length \(length)")
        }
    }

    @Test func sortingWordsSorts() {
        var random = TestRandom(6)
        for count in [0, 1, 64, 65, 5000] {
            var words = (0..<count).map { _ in random.next() >> UInt64(random.below(40)) }
            let expected = words.sorted()
            var scratch = words
            ck_sort_words(&words, &scratch, count, 0)
            #expect(words == expected)
        }
    }
}

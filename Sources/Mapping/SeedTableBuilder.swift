import CKernels
import Threads

/// Builds the seed table: two scans of the reference (count, scatter), then a sort and a fill per group of buckets.
struct SeedTableBuilder: Sendable {
    let contigs: [ReferenceIndex.Contig]
    let planes: LargeBuffer<UInt64>
    let shape: ReferenceIndex.SeedShape
    let threads: Int

    private static let pieceLength = 4 << 20
    /// Seeds per bucket that the table is sized for, of the ten that fit.
    private static let load = 6.5

    private struct Piece: Sendable {
        var from: Int
        var to: Int
        var end: Int
    }

    func build() -> (buckets: LargeBuffer<ck_bucket>, lists: LargeBuffer<UInt32>) {
        var pieces: [Piece] = []
        for contig in contigs {
            let start = Int(contig.start)
            for from in stride(from: 0, to: contig.length, by: Self.pieceLength) {
                let to = min(from + Self.pieceLength, contig.length)
                pieces.append(Piece(from: start + from, to: start + to, end: start + contig.length))
            }
        }
        var known = 0
        for contig in contigs {
            for block in Int(contig.start) / 64..<(Int(contig.start) + contig.length + 63) / 64 {
                known += (~planes.pointer[3 * block + 2]).nonzeroBitCount
            }
        }
        var bucketCount = max(64, Int(Double(known) / Double(shape.window) / Self.load))
        while true {
            if bucketCount > Int(CK_GROUP_BUCKETS) {
                let group = Int(CK_GROUP_BUCKETS)
                bucketCount = (bucketCount + group - 1) / group * group
            }
            if let table = build(pieces, bucketCount: bucketCount) { return table }
            bucketCount += bucketCount / 2
        }
    }

    /// Calls `body` with the keys and places of all seeds that start in the piece.
    private func scan(_ piece: Piece, _ body: (UnsafePointer<UInt64>, UnsafePointer<UInt32>, Int, Int) -> Void) {
        let chunk = Int(CK_SEED_CHUNK)
        let step = chunk - shape.length + 1
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: chunk) { codes in
            withUnsafeTemporaryAllocation(of: UInt64.self, capacity: chunk + 16) { keys in
                withUnsafeTemporaryAllocation(of: UInt32.self, capacity: chunk + 16) { offsets in
                    for from in stride(from: piece.from, to: piece.to, by: step) {
                        let count = min(min(step, piece.to - from) + shape.length - 1, piece.end - from)
                        if count < shape.length || isUnknown(from, count) { continue }
                        ck_unpack_planes(planes.pointer, UInt64(from), count, codes.baseAddress)
                        let found = ck_find_seeds(
                            codes.baseAddress, count, shape.kernelShape, keys.baseAddress, offsets.baseAddress)
                        body(keys.baseAddress!, offsets.baseAddress!, found, from)
                    }
                }
            }
        }
    }

    private func isUnknown(_ from: Int, _ count: Int) -> Bool {
        for block in from / 64...(from + count - 1) / 64 where planes.pointer[3 * block + 2] != ~0 { return false }
        return true
    }

    /// Nil when a group has more distinct seeds than slots.
    private func build(
        _ pieces: [Piece], bucketCount: Int
    ) -> (buckets: LargeBuffer<ck_bucket>, lists: LargeBuffer<UInt32>)? {
        let groupSize = Int(CK_GROUP_BUCKETS)
        let groups = (bucketCount + groupSize - 1) / groupSize
        let count32 = UInt32(bucketCount)
        // starts[piece * groups + group]: seeds of that piece in that group, then where they go.
        let starts = LargeBuffer<Int>(count: max(1, pieces.count) * groups)
        inParallel(pieces.count, threads: threads) { item in
            let counts = starts.pointer + item * groups
            scan(pieces[item]) { keys, _, found, _ in
                for i in 0..<found { counts[Int(ck_bucket_of(keys[i], count32)) / groupSize] += 1 }
            }
        }
        var groupStarts = [0]
        var total = 0
        for group in 0..<groups {
            for piece in 0..<pieces.count {
                let here = starts.pointer[piece * groups + group]
                starts.pointer[piece * groups + group] = total
                total += here
            }
            groupStarts.append(total)
        }
        let entries = LargeBuffer<UInt64>(count: total)
        inParallel(pieces.count, threads: threads) { item in
            let next = starts.pointer + item * groups
            scan(pieces[item]) { keys, offsets, found, from in
                for i in 0..<found {
                    let group = Int(ck_bucket_of(keys[i], count32)) / groupSize
                    entries.pointer[next[group]] = ck_seed_entry(keys[i], count32, UInt32(from) + offsets[i])
                    next[group] += 1
                }
            }
        }
        return fill(entries, groupStarts: groupStarts, bucketCount: bucketCount)
    }

    private func fill(
        _ entries: LargeBuffer<UInt64>, groupStarts: [Int], bucketCount: Int
    ) -> (buckets: LargeBuffer<ck_bucket>, lists: LargeBuffer<UInt32>)? {
        let groupSize = Int(CK_GROUP_BUCKETS)
        let groups = groupStarts.count - 1
        let largest = (0..<groups).map { groupStarts[$0 + 1] - groupStarts[$0] }.max() ?? 0
        let sorters = Workers(min(threads, groups)) { LargeBuffer<UInt64>(count: largest) }
        let listWords = LargeBuffer<Int>(count: groups)
        let distinct = LargeBuffer<Int>(count: groups)
        let failed = sorters.forEach(groups) { scratch, group in
            let first = entries.pointer + groupStarts[group]
            let count = groupStarts[group + 1] - groupStarts[group]
            // Entries come in order of place, which the sort keeps.
            ck_sort_words(first, scratch.pointer, count, 32)
            listWords.pointer[group] = ck_count_list_words(first, count, ReferenceIndex.listLimit)
            var different = 0
            for i in 0..<count where i == 0 || first[i] >> 33 != first[i - 1] >> 33 { different += 1 }
            distinct.pointer[group] = different
        }
        precondition(failed == nil, "sorting throws nothing")
        var listStarts = [0]
        for group in 0..<groups {
            let slots = min(groupSize, bucketCount - group * groupSize) * Int(CK_BUCKET_SLOTS)
            if distinct.pointer[group] > slots - slots / 20 { return nil }
            listStarts.append(listStarts[group] + listWords.pointer[group])
        }
        let buckets = LargeBuffer<ck_bucket>(count: bucketCount)
        let lists = LargeBuffer<UInt32>(count: listStarts[groups])
        let bases = listStarts
        inParallel(groups, threads: threads) { group in
            let size = min(groupSize, bucketCount - group * groupSize)
            _ = ck_fill_group(
                entries.pointer + groupStarts[group], groupStarts[group + 1] - groupStarts[group],
                ReferenceIndex.listLimit, buckets.pointer + group * groupSize, UInt32(size),
                lists.pointer + bases[group], UInt32(bases[group]))
        }
        return (buckets, lists)
    }
}

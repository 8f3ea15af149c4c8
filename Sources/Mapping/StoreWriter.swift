import CKernels
import GenomicFormats

/// Appends reads of a batch to a store in reference orientation.
struct StoreWriter {
    let store: ReadStore
    private var bases = [UInt8](repeating: 0, count: Int(CK_MAX_READ))
    private var qualities = [UInt8](repeating: 0, count: Int(CK_MAX_READ))

    init(store: ReadStore) { self.store = store }

    mutating func append(_ batch: ReadBatch, _ read: Int, _ placed: MappedRead, _ cigars: [UInt32]) {
        let range = batch.range(ofRead: read)
        let header = AlignedReadHeader(
            ordinal: batch.firstOrdinal + UInt64(read), contig: placed.contig, position: placed.position,
            end: placed.end, mateContig: placed.mateContig, matePosition: placed.matePosition,
            templateLength: placed.templateLength, flags: placed.flags, mappingQuality: placed.mappingQuality,
            cigarCount: placed.cigarCount, baseCount: UInt16(range.count), editDistance: placed.editDistance)
        let start = Int(placed.cigarStart)
        batch.bases.withUnsafeBufferPointer { allBases in
            batch.qualities.withUnsafeBufferPointer { allQualities in
                cigars.withUnsafeBufferPointer { cigars in
                    let cigar = UnsafeBufferPointer(rebasing: cigars[start..<start + Int(placed.cigarCount)])
                    guard placed.flags.contains(.reverse) else {
                        return store.append(
                            header, cigar: cigar, bases: UnsafeBufferPointer(rebasing: allBases[range]),
                            qualities: UnsafeBufferPointer(rebasing: allQualities[range]))
                    }
                    bases.withUnsafeMutableBufferPointer { bases in
                        qualities.withUnsafeMutableBufferPointer { qualities in
                            let (from, count) = (range.lowerBound, range.count)
                            ck_reverse_complement(allBases.baseAddress! + from, count, bases.baseAddress)
                            ck_reverse_bytes(allQualities.baseAddress! + from, count, qualities.baseAddress)
                            store.append(
                                header, cigar: cigar, bases: UnsafeBufferPointer(rebasing: bases[..<count]),
                                qualities: UnsafeBufferPointer(rebasing: qualities[..<count]))
                        }
                    }
                }
            }
        }
    }
}

/// A haplotype of one contig: the reference with the variants that it carries laid in when bases are asked for, so that
/// a person of human size needs no copies of the genome.
public struct Haplotype: Sendable {
    private struct Edit {
        /// Where the alternate allele begins, in the haplotype's and in the reference's coordinates.
        var own: Int
        var position: Int
        var alternateStart: Int
        var alternateLength: Int32
        var referenceLength: Int32
    }

    private let reference: [UInt8]
    private var edits: [Edit] = []
    /// The alternate alleles end to end.
    private var alternates: [UInt8] = []
    public let length: Int

    private init(reference: [UInt8], edits: [Edit], alternates: [UInt8], length: Int) {
        self.reference = reference
        self.edits = edits
        self.alternates = alternates
        self.length = length
    }

    /// The reference bases with variants of one contig laid in, which must be sorted and must not overlap.
    public static func applying(_ variants: some Sequence<TruthVariant>, to reference: [UInt8]) -> Haplotype {
        var edits: [Edit] = []
        var alternates: [UInt8] = []
        var end = 0
        var shift = 0
        for variant in variants {
            precondition(variant.position >= end, "variants are sorted and do not overlap")
            edits.append(
                Edit(
                    own: variant.position + shift, position: variant.position, alternateStart: alternates.count,
                    alternateLength: Int32(variant.alternate.count), referenceLength: Int32(variant.reference.count)))
            alternates += variant.alternate
            end = variant.end
            shift += variant.alternate.count - variant.reference.count
        }
        precondition(end <= reference.count, "variants lie on the reference")
        return Haplotype(reference: reference, edits: edits, alternates: alternates, length: reference.count + shift)
    }

    /// The reference position (0-based) that haplotype position `own` lies on; inserted bases count as the reference
    /// base after them.
    public func referencePosition(of own: Int) -> Int {
        guard let edit = edits.last(before: { $0.own <= own }) else { return own }
        let offset = own - edit.own
        let beyond = offset - Int(edit.alternateLength)
        let inside = edit.position + min(offset, Int(edit.referenceLength))
        return beyond < 0 ? inside : edit.position + Int(edit.referenceLength) + beyond
    }

    /// The haplotype position of a reference position; that of the next base that is there, if it is deleted.
    public func position(ofReference position: Int) -> Int {
        guard let edit = edits.last(before: { $0.position <= position }) else {
            return position
        }
        let beyond = position - edit.position - Int(edit.referenceLength)
        return beyond >= 0
            ? edit.own + Int(edit.alternateLength) + beyond
            : edit.own + min(position - edit.position, Int(edit.alternateLength))
    }

    /// The bases of a range of the haplotype, ``BaseCode`` values.
    public func bases(in range: Range<Int>) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            if let out = buffer.baseAddress { copy(range, to: out) }
            count = range.count
        }
    }

    /// Writes the bases of a range to memory that has room for them.
    func copy(_ range: Range<Int>, to out: UnsafeMutablePointer<UInt8>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= length, "the range lies on the haplotype")
        reference.withUnsafeBufferPointer { reference in
            edits.withUnsafeBufferPointer { edits in
                alternates.withUnsafeBufferPointer { alternates in
                    var index = edits.partitionPoint { $0.own <= range.lowerBound }
                    var own = range.lowerBound
                    // What the reference position is ahead by, behind the last edit.
                    var shift = 0
                    func append(_ source: UnsafeBufferPointer<UInt8>, _ start: Int, _ count: Int) {
                        (out + (own - range.lowerBound)).update(from: source.baseAddress! + start, count: count)
                        own += count
                    }
                    func append(_ edit: Edit) {
                        let skip = own - edit.own
                        let left = Int(edit.alternateLength) - skip
                        if left > 0 {
                            append(alternates, edit.alternateStart + skip, min(left, range.upperBound - own))
                        }
                        shift = edit.position + Int(edit.referenceLength) - edit.own - Int(edit.alternateLength)
                    }
                    if index > 0 { append(edits[index - 1]) }
                    while own < range.upperBound {
                        let next = index < edits.count ? edits[index].own : length
                        if next > own { append(reference, own + shift, min(next, range.upperBound) - own) }
                        guard own < range.upperBound else { break }
                        append(edits[index])
                        index += 1
                    }
                }
            }
        }
    }
}

extension Collection where Index == Int {
    /// The first place whose element does not fulfil a condition that all before it do.
    func partitionPoint(_ isBefore: (Element) -> Bool) -> Int {
        var low = startIndex
        var high = endIndex
        while low < high {
            let middle = (low + high) / 2
            if isBefore(self[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The last element that fulfils a condition that all before it do.
    func last(before isBefore: (Element) -> Bool) -> Element? {
        let end = partitionPoint(isBefore)
        return end > startIndex ? self[end - 1] : nil
    }
}

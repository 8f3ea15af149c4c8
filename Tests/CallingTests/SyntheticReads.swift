import Calling
import GenomicFormats
import Mapping

/// A small deterministic generator (SplitMix64).
struct Generator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}

/// A change of one haplotype, as the aligner would place it.
struct Change {
    var place: Int
    var removed: Int
    var inserted: [UInt8]
}

func codes(_ text: String) -> [UInt8] { text.utf8.map { BaseCode.ofASCII[Int($0)] } }

/// Random bases without homopolymers longer than three, with pieces of choice written over them.
func genome(_ length: Int, seed: UInt64 = 11, pieces: [(Int, String)] = []) -> [UInt8] {
    var generator = Generator(state: seed)
    var bases: [UInt8] = []
    while bases.count < length {
        let base = UInt8(generator.below(4))
        if bases.count > 2, bases.suffix(3).allSatisfy({ $0 == base }) { continue }
        bases.append(base)
    }
    for (place, text) in pieces { bases.replaceSubrange(place..<place + text.utf8.count, with: codes(text)) }
    return bases
}

/// Aligned reads of known haplotypes over one contig.
struct SyntheticReads {
    let reference: ReferenceGenome
    let store: ReadStore
    private var ordinal: UInt64 = 0
    var quality: UInt8 = 35
    var mappingQuality: UInt8 = 60
    var flags: AlignmentFlags = []
    var readLength = 100

    init(_ bases: [UInt8], limits: ReadStore.Limits = ReadStore.Limits()) {
        reference = ReferenceGenome(contigs: [.init(name: "one", bases: bases)])
        store = ReadStore(contigLengths: [bases.count], limits: limits)
    }

    /// Reads of a haplotype that start every `step` bases of `range`, on alternating strands.
    mutating func add(_ changes: [Change] = [], range: Range<Int>, step: Int) {
        for (rank, start) in stride(from: range.lowerBound, to: range.upperBound, by: step).enumerated() {
            addRead(changes, start: start, isReverse: rank % 2 == 1)
        }
    }

    mutating func addRead(_ changes: [Change], start: Int, isReverse: Bool) {
        let genome = reference.contigs[0].bases
        var bases: [UInt8] = []
        var cigar: [CigarOperation] = []
        func extend(_ kind: CigarOperation.Kind, _ count: Int) {
            guard count > 0 else { return }
            if let last = cigar.last, last.kind == kind {
                cigar[cigar.count - 1] = CigarOperation(kind, last.length + count)
            } else {
                cigar.append(CigarOperation(kind, count))
            }
        }
        var place = start
        for change in changes where change.place > start && change.place < start + readLength {
            let matched = min(change.place - place, readLength - bases.count)
            bases += genome[place..<place + matched]
            extend(.match, matched)
            place += matched
            guard bases.count < readLength - 1 else { break }
            let inserted = Array(change.inserted.prefix(readLength - 1 - bases.count))
            bases += inserted
            let paired = min(change.removed, inserted.count)
            extend(.match, paired)
            extend(.insertion, inserted.count - paired)
            extend(.deletion, change.removed - paired)
            place += change.removed
        }
        let rest = readLength - bases.count
        guard place + rest <= genome.count else { return }
        bases += genome[place..<place + rest]
        extend(.match, rest)
        append(bases, cigar, start: start, end: place + rest, isReverse: isReverse)
    }

    /// One read as given; a new fragment unless `mateOf` names the ordinal of its mate.
    @discardableResult
    mutating func append(
        _ bases: [UInt8], _ cigar: [CigarOperation], start: Int, end: Int, isReverse: Bool, mateOf: UInt64? = nil
    ) -> UInt64 {
        let own = mateOf.map { $0 ^ 1 } ?? ordinal
        if mateOf == nil { ordinal += 2 }
        let header = AlignedReadHeader(
            ordinal: own, contig: 0, position: Int32(start), end: Int32(end), mateContig: 0, matePosition: Int32(start),
            templateLength: 0, flags: isReverse ? flags.union(.reverse) : flags, mappingQuality: mappingQuality,
            cigarCount: UInt16(cigar.count), baseCount: UInt16(bases.count), editDistance: 0)
        let qualities = [UInt8](repeating: quality, count: bases.count)
        cigar.map(\.rawValue).withUnsafeBufferPointer { operations in
            bases.withUnsafeBufferPointer { letters in
                qualities.withUnsafeBufferPointer { scores in
                    try! store.append(header, cigar: operations, bases: letters, qualities: scores)
                }
            }
        }
        return own
    }

    /// Seals the store and calls: each record's POS, REF, ALT, FILTER, GT and all fields.
    func call(threads: Int = 1, options: CallingOptions = CallingOptions()) throws -> [Called] {
        if !store.isSealed { try store.seal() }
        var found: [Called] = []
        let caller = VariantCaller(reference: reference, options: options)
        _ = try caller.call(store: store, threads: threads, sample: "s") {
            found.append(Called(String(decoding: $0, as: UTF8.self)))
        }
        return found
    }
}

/// The parts of a VCF line that the tests look at.
struct Called {
    let line: String
    private let fields: [Substring]

    init(_ line: String) {
        self.line = line
        fields = line.dropLast().split(separator: "\t")
    }

    var summary: String { [fields[1], fields[3], fields[4], fields[9].prefix(3)].joined(separator: " ") }
    var filter: Substring { fields[6] }
    var values: [Substring] { fields[9].split(separator: ":") }
}

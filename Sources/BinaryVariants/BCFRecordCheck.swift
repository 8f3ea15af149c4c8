internal import CHTS

/// Walks through one record of BCF2.2 and refuses what the file's own numbers do not bear out, before htslib sees it.
///
/// Every length stays inside the record, every number of a contig, key or filter is one of the header's, and no string
/// holds a byte that would end a column or a line of VCF.
struct BCFRecordCheck: Sendable {
    /// Bytes of the two lengths, and of the part of fixed size that the first of them counts.
    static let lengthBytes = 8
    static let fixedBytes = 24
    /// The most bytes of a record, as of a line of VCF.
    static let largestRecord = 256 << 20

    private let contigs: [Bool]
    private let keys: [Bool]
    private let samples: Int

    init(_ header: HTSHeader) {
        contigs = header.entries(BCF_DT_CTG)
        keys = header.entries(BCF_DT_ID)
        samples = header.sampleCount
    }

    /// What is wrong with a record, or nil.
    ///
    /// - Parameters:
    ///   - shared: what all samples share, from the part of fixed size on.
    ///   - individual: the samples' part.
    func problem(_ shared: UnsafeRawBufferPointer, _ individual: UnsafeRawBufferPointer) -> String? {
        let contig = Int(word(shared, 0))
        guard contigs.indices.contains(contig), contigs[contig] else { return "contig number is not in the header" }
        let counts = UInt32(bitPattern: word(shared, 16))
        let formats = UInt32(bitPattern: word(shared, 20))
        let sampleCount = Int(formats & 0xff_ffff)
        let formatCount = Int(formats >> 24)
        guard sampleCount == samples else { return "has \(sampleCount) samples where the header has \(samples)" }
        guard counts >> 16 > 0 else { return "has no REF" }
        var walk = Walk(bytes: shared, at: Self.fixedBytes)
        // The ID, which may have no type where it is missing, then the alleles.
        for string in 0...counts >> 16 {
            guard let value = walk.value(), value.kind == .character || (string == 0 && value.kind == .missing)
            else { return Walk.broken }
            guard value.bytes.allSatisfy(Walk.isPlain) else { return Walk.control }
        }
        guard let filters = walk.descriptor(), filters.kind.isInteger || filters.count == 0 else { return Walk.broken }
        for _ in 0..<filters.count {
            guard let key = walk.integer(filters.kind) else { return Walk.broken }
            guard isKey(key) else { return "FILTER number is not in the header" }
        }
        for _ in 0..<counts & 0xffff {
            guard let key = walk.typedInteger() else { return Walk.broken }
            guard isKey(key) else { return "INFO key number is not in the header" }
            guard let value = walk.value() else { return Walk.broken }
            if value.kind == .character, !Walk.isPaddedText(value.bytes) { return Walk.control }
        }
        guard walk.at == shared.count else { return "parts do not fill the record" }
        // htslib once wrote a number of FORMAT keys where no samples were left; it has no meaning then.
        if samples == 0 && individual.isEmpty { return nil }
        return problem(inSamples: individual, formatCount)
    }

    private func problem(inSamples bytes: UnsafeRawBufferPointer, _ formatCount: Int) -> String? {
        guard samples * formatCount <= Self.largestRecord / 2 else { return "is longer than 256 MiB as VCF" }
        var walk = Walk(bytes: bytes, at: 0)
        for _ in 0..<formatCount {
            guard let key = walk.typedInteger() else { return Walk.broken }
            guard isKey(key) else { return "FORMAT key number is not in the header" }
            guard let descriptor = walk.descriptor(),
                let values = walk.take(descriptor.count * descriptor.kind.size * samples)
            else { return Walk.broken }
            guard descriptor.kind == .character, descriptor.count > 0 else { continue }
            for sample in 0..<samples {
                let from = sample * descriptor.count
                let text = UnsafeRawBufferPointer(rebasing: values[from..<from + descriptor.count])
                guard Walk.isPaddedText(text) else { return Walk.control }
            }
        }
        return walk.at == bytes.count ? nil : "parts do not fill the record"
    }

    private func isKey(_ number: Int) -> Bool { keys.indices.contains(number) && keys[number] }

    private func word(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Int32 {
        Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Int32.self))
    }
}

/// The types of values (BCF2.2, section 6.3.3); others are reserved.
private enum ValueKind: UInt8 {
    case missing = 0
    case integer8 = 1
    case integer16 = 2
    case integer32 = 3
    case float = 5
    case character = 7

    var size: Int {
        switch self {
        case .missing: 0
        case .integer8, .character: 1
        case .integer16: 2
        case .integer32, .float: 4
        }
    }

    var isInteger: Bool { self == .integer8 || self == .integer16 || self == .integer32 }
}

/// A place in a part of a record that never leaves it: every step is nil where the part would end before.
private struct Walk {
    static let broken = "a value has no valid type, or is longer than the record"
    static let control = "a string holds a NUL, a tab or a line end"

    let bytes: UnsafeRawBufferPointer
    var at: Int

    mutating func take(_ count: Int) -> UnsafeRawBufferPointer? {
        guard count >= 0, count <= bytes.count - at else { return nil }
        defer { at += count }
        return UnsafeRawBufferPointer(rebasing: bytes[at..<at + count])
    }

    mutating func descriptor() -> (kind: ValueKind, count: Int)? {
        guard at < bytes.count, let kind = ValueKind(rawValue: bytes[at] & 15) else { return nil }
        var count = Int(bytes[at] >> 4)
        at += 1
        if count == 15 {
            guard let long = typedInteger(), long >= 0 else { return nil }
            count = long
        }
        // htslib ends the process over values without a type.
        return kind == .missing && count > 0 ? nil : (kind, count)
    }

    mutating func integer(_ kind: ValueKind) -> Int? {
        guard kind.isInteger, let value = take(kind.size) else { return nil }
        return switch kind {
        case .integer8: Int(Int8(bitPattern: value[0]))
        case .integer16: Int(Int16(littleEndian: value.loadUnaligned(as: Int16.self)))
        default: Int(Int32(littleEndian: value.loadUnaligned(as: Int32.self)))
        }
    }

    /// One integer behind its own type.
    mutating func typedInteger() -> Int? {
        guard at < bytes.count, bytes[at] >> 4 == 1, let kind = ValueKind(rawValue: bytes[at] & 15) else { return nil }
        at += 1
        return integer(kind)
    }

    mutating func value() -> (kind: ValueKind, bytes: UnsafeRawBufferPointer)? {
        guard let (kind, count) = descriptor(), let bytes = take(count * kind.size) else { return nil }
        return (kind, bytes)
    }

    static func isPlain(_ byte: UInt8) -> Bool { byte != 0 && byte != 9 && byte != 10 && byte != 13 }

    /// Text that may be filled up with NULs.
    static func isPaddedText(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var end = bytes.count
        while end > 0 && bytes[end - 1] == 0 { end -= 1 }
        return bytes[..<end].allSatisfy(isPlain)
    }
}

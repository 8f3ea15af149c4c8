/// Bases as small integers: A 0, C 1, G 2, T 3, everything else 4.
public enum BaseCode {
    public static let a: UInt8 = 0
    public static let c: UInt8 = 1
    public static let g: UInt8 = 2
    public static let t: UInt8 = 3
    public static let n: UInt8 = 4

    /// The code of each ASCII letter; lower case counts as upper case, IUPAC ambiguity codes and all else as N.
    public static let ofASCII: [UInt8] = {
        var table = [UInt8](repeating: n, count: 256)
        for (letters, code) in [("Aa", a), ("Cc", c), ("Gg", g), ("Tt", t)] {
            for letter in letters.utf8 { table[Int(letter)] = code }
        }
        return table
    }()

    /// ASCII letters by code.
    public static let ascii: [UInt8] = Array("ACGTN".utf8)

    /// The ASCII letter of a code, from the bytes of one word: inner loops need no table.
    @inlinable @inline(__always)
    public static func letter(_ code: UInt8) -> UInt8 {
        code < 4 ? UInt8(truncatingIfNeeded: 0x5447_4341 as UInt32 >> (8 * UInt32(code))) : UInt8(ascii: "N")
    }
}

/// A batch of parsed reads, the unit that travels from the parser to a genotyping engine.
///
/// Paired reads alternate: read `2 * i` is the first mate of pair `i`, read `2 * i + 1` the second. Reads lie end to
/// end in `bases` and `qualities`; read `r` is the range `offsets[r] ..< offsets[r + 1]` of both. A batch carries its
/// place in the input (`firstOrdinal`), so that results never depend on which thread handled it.
public struct ReadBatch: Sendable {
    /// The ordinal, in the whole input, of the batch's first read (mates counted one by one).
    public var firstOrdinal: UInt64
    public var isPaired: Bool
    /// The place of the reads' ``ReadGroup`` in the job's list.
    public var readGroup = 0
    /// One more than the number of reads; `offsets[0]` is 0.
    public var offsets: [Int32]
    /// ``BaseCode`` values.
    public var bases: [UInt8]
    /// Phred quality scores, without the ASCII offset.
    public var qualities: [UInt8]
    /// Names of the templates (mates share theirs), end to end; nil when nobody asked for them.
    public var names: Names?

    /// Name `t` is the range `offsets[t] ..< offsets[t + 1]` of `bytes`.
    public struct Names: Sendable, Equatable {
        /// The longest name that SAM and BAM hold (SAMv1 section 1.4).
        public static let longest = 254

        public var bytes: [UInt8] = []
        public var offsets: [Int32] = [0]

        public init() {}

        /// False when SAM does not allow the name: one to 254 characters from '!' to '~' except '@'.
        mutating func append(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
            guard (1...Self.longest).contains(name.count) else { return false }
            var isAllowed = true
            for letter in name { isAllowed = isAllowed && letter > 32 && letter < 127 && letter != UInt8(ascii: "@") }
            bytes.append(contentsOf: name)
            offsets.append(Int32(bytes.count))
            return isAllowed
        }
    }

    public init(firstOrdinal: UInt64, isPaired: Bool) {
        self.firstOrdinal = firstOrdinal
        self.isPaired = isPaired
        offsets = [0]
        bases = []
        qualities = []
    }

    public var readCount: Int { offsets.count - 1 }

    /// Where the read's name lies in the bytes of ``names``, which must have been asked for.
    public func nameRange(ofRead read: Int) -> Range<Int> {
        let template = isPaired ? read / 2 : read
        return Int(names!.offsets[template])..<Int(names!.offsets[template + 1])
    }

    public func range(ofRead read: Int) -> Range<Int> {
        Int(offsets[read])..<Int(offsets[read + 1])
    }
}

import Kernels
public import Randomness

/// Which share: the letter also names its holder.
public enum ShareIndex: UInt8, Sendable, CaseIterable, Comparable, CustomStringConvertible {
    case a = 1
    case b = 2
    case c = 3

    public static func < (x: ShareIndex, y: ShareIndex) -> Bool { x.rawValue < y.rawValue }

    /// `A`, `B` or `C`.
    public var description: String {
        switch self {
        case .a: "A"
        case .b: "B"
        case .c: "C"
        }
    }
}

/// 128 bits that name a share set or an object. Not secret.
public struct Identifier: Sendable, Hashable, CustomStringConvertible {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A fresh one.
    public init(from random: any RandomSource) throws {
        var words: (UInt64, UInt64) = (0, 0)
        try withUnsafeMutableBytes(of: &words) { try random.fill($0) }
        self.init(high: words.0, low: words.1)
    }

    /// From 32 hexadecimal digits, hyphens allowed; nil for anything else.
    public init?(hex: String) {
        let digits = hex.filter { $0 != "-" }
        guard
            digits.utf8.count == 32, digits.allSatisfy(\.isHexDigit),
            let high = UInt64(digits.prefix(16), radix: 16), let low = UInt64(digits.suffix(16), radix: 16)
        else { return nil }
        self.init(high: high, low: low)
    }

    /// 32 hexadecimal digits.
    public var description: String { Self.hex(high) + Self.hex(low) }

    private static func hex(_ word: UInt64) -> String {
        let digits = String(word, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// What the three shares of one split have in common. Not secret.
public struct ShareSetDescription: Sendable, Equatable {
    /// Bytes of secret per block unless the caller says otherwise.
    public static let defaultBlockSize = 4 << 20
    /// Allowed block sizes, in bytes; also a multiple of 32.
    public static let blockSizes = 32...(64 << 20)
    /// The longest object, in bytes.
    public static let longest = 1 << 56

    /// Fresh for every split and refresh: shares of different sets never mix.
    public let set: Identifier
    public let object: Identifier
    /// Bytes of the secret.
    public let length: Int
    /// Bytes of secret per block; only the last block is shorter.
    public let blockSize: Int

    /// nil when the length or the block size is not allowed.
    public init?(set: Identifier, object: Identifier, length: Int, blockSize: Int) {
        guard (0...Self.longest).contains(length), Self.blockSizes.contains(blockSize), blockSize % 32 == 0 else {
            return nil
        }
        self.set = set
        self.object = object
        self.length = length
        self.blockSize = blockSize
    }

    public var blockCount: Int { (length + blockSize - 1) / blockSize }

    /// Bytes of secret in a block.
    public func secretBytes(block: Int) -> Int { min(blockSize, length - block * blockSize) }

    /// Bytes of a share's payload in a block: two halves, so the secret's bytes rounded up to even.
    public func payloadBytes(block: Int) -> Int { (secretBytes(block: block) + 1) & ~1 }

    /// Bytes of each share's payload in all blocks: as many random bytes as a split or refresh takes, tags apart.
    public var payloadBytes: Int { (length + 1) & ~1 }

    /// Where a block begins in a share file; for `blockCount`, the length of the file.
    public func fileOffset(block: Int) -> Int {
        let whole = ShareHeader.size + block * (blockSize + ShareTags.tagSize)
        guard block == blockCount, block > 0 else { return whole }
        return whole - blockSize + payloadBytes(block: block - 1)
    }

    /// Bytes of each share file.
    public var fileSize: Int { fileOffset(block: blockCount) }
}

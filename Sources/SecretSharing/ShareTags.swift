internal import Diagnostics
import Kernels
public import Randomness

/// The owner's tag keys of one share set: what proves, block by block, that a holder gave back what it was given.
///
/// Each share has a hash key of 16 bytes and one fresh pad of 16 bytes for its header and for each block; a tag is the
/// polynomial hash XOR the pad (Wegman-Carter). Holders keep the tags inside their share files and, without the keys,
/// change a block unnoticed with probability at most (L+1)/2^128, L the 16-byte blocks of a message, whatever their
/// computer. The owner keeps this object, and lends it to the trusted server. A pad is used for one message only: the
/// same share always gets the same tags, and a refreshed share belongs to another set.
///
/// `@unchecked Sendable`: written while it is made and only read afterwards.
public final class ShareTags: @unchecked Sendable {
    public static let tagSize = 16
    static let magic = Array("DSGDTAG1".utf8)
    static let headerSize = 64
    /// Bytes before the payload in a tagged message; whole 16-byte blocks, so that the payload is hashed where it lies.
    static let prefixSize = 48
    /// Keys for 80 TiB in blocks of the default size.
    static let largestBlob = 1 << 30

    public let description: ShareSetDescription
    /// The blob as `docs/FORMATS.md` lays it out, secret.
    private let blob: SecureBytes

    /// Fresh keys for a share set.
    ///
    /// - Throws: what the source throws; `.usage` when the blocks are so many that the keys would not fit in memory.
    public init(for description: ShareSetDescription, from random: any RandomSource) throws {
        guard Self.blobSize(description) <= Self.largestBlob else {
            throw Failure(
                .usage, at: "block size \(description.blockSize)",
                "the object would have \(description.blockCount) blocks",
                remedy: "take a larger block size")
        }
        self.description = description
        blob = SecureBytes(count: Self.blobSize(description))
        try blob.withUnsafeMutableBytes { bytes in
            try random.fill(UnsafeMutableRawBufferPointer(rebasing: bytes[Self.headerSize...]))
            for index in ShareIndex.allCases {
                let key = Self.offset(description, index)
                // A zero key would accept everything; it comes up once in 2^128 draws.
                while bytes[key..<key + Self.tagSize].allSatisfy({ $0 == 0 }) {
                    try random.fill(UnsafeMutableRawBufferPointer(rebasing: bytes[key..<key + Self.tagSize]))
                }
            }
            bytes.copyBytes(from: Self.magic)
            bytes.storeLittle(ShareHeader.version, at: 8)
            bytes[10] = UInt8(ShareIndex.allCases.count)
            bytes.storeBig(description.set.high, at: 16)
            bytes.storeBig(description.set.low, at: 24)
            bytes.storeBig(description.object.high, at: 32)
            bytes.storeBig(description.object.low, at: 40)
            bytes.storeLittle(UInt64(description.length), at: 48)
            bytes.storeLittle(UInt32(description.blockSize), at: 56)
        }
    }

    /// Reads the owner's blob.
    ///
    /// - Throws: `.data` when it is not one, or not whole.
    public init(reading source: UnsafeRawBufferPointer, place: String) throws {
        func wrong(_ problem: String) -> Failure {
            Failure(.data, at: place, problem, remedy: "name the tag file that was written with these shares")
        }
        guard source.count >= Self.headerSize, source.prefix(8).elementsEqual(Self.magic) else {
            throw wrong("this is not a tag file")
        }
        let version: UInt16 = source.little(at: 8)
        guard version == ShareHeader.version, source[10] == 3 else {
            throw wrong("tag format \(version) is not known here")
        }
        let length: UInt64 = source.little(at: 48), blockSize: UInt32 = source.little(at: 56)
        guard
            let length = Int(exactly: length),
            let description = ShareSetDescription(
                set: Identifier(high: source.big(at: 16), low: source.big(at: 24)),
                object: Identifier(high: source.big(at: 32), low: source.big(at: 40)),
                length: length, blockSize: Int(blockSize)),
            source[11..<16].allSatisfy({ $0 == 0 }), source[60..<64].allSatisfy({ $0 == 0 })
        else { throw wrong("the tag file is damaged") }
        guard source.count == Self.blobSize(description) else {
            throw wrong("the tag file has \(source.count) bytes instead of \(Self.blobSize(description))")
        }
        for index in ShareIndex.allCases {
            let key = Self.offset(description, index)
            guard !source[key..<key + Self.tagSize].allSatisfy({ $0 == 0 }) else {
                throw wrong("the tag file is damaged")
            }
        }
        self.description = description
        blob = SecureBytes(copying: source)
    }

    /// The blob to store or send. It stays with the owner and travels under one-time pad only: whoever has it can forge
    /// tags.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try blob.withUnsafeBytes(body)
    }

    /// Bytes of the blob of a share set.
    public static func blobSize(_ description: ShareSetDescription) -> Int {
        headerSize + ShareIndex.allCases.count * (description.blockCount + 2) * tagSize
    }

    /// Where the keys of a share begin: hash key, pad of the header, pads of the blocks.
    private static func offset(_ description: ShareSetDescription, _ index: ShareIndex) -> Int {
        headerSize + (Int(index.rawValue) - 1) * (description.blockCount + 2) * tagSize
    }

    private func hashKey(_ index: ShareIndex) -> PolynomialHash {
        blob.withUnsafeBytes { bytes in
            let key = Self.offset(description, index)
            return PolynomialHash(key: UnsafeRawBufferPointer(rebasing: bytes[key..<key + Self.tagSize]))
        }
    }

    /// Writes the tag of a header (its first 112 bytes).
    func tagHeader(_ index: ShareIndex, _ header: UnsafeRawBufferPointer, into tag: UnsafeMutableRawBufferPointer) {
        var hash = hashKey(index)
        hash.update(UnsafeRawBufferPointer(rebasing: header[..<ShareHeader.taggedBytes]))
        seal(&hash, index, pad: 0, into: tag)
    }

    /// Writes the tag of a block's payload.
    func tagBlock(
        _ index: ShareIndex, _ block: Int, _ payload: UnsafeRawBufferPointer, into tag: UnsafeMutableRawBufferPointer
    ) {
        precondition(payload.count == description.payloadBytes(block: block))
        var hash = beginBlock(index, block)
        hash.update(payload)
        seal(&hash, index, pad: 1 + block, into: tag)
    }

    /// The hash of a block up to its payload.
    func beginBlock(_ index: ShareIndex, _ block: Int) -> PolynomialHash {
        var hash = hashKey(index)
        withUnsafeTemporaryAllocation(byteCount: Self.prefixSize, alignment: 16) { prefix in
            _ = prefix.initializeMemory(as: UInt8.self, repeating: 0)
            prefix.storeBig(description.set.high, at: 0)
            prefix.storeBig(description.set.low, at: 8)
            prefix[16] = ShareHeader.scheme
            prefix[17] = index.rawValue
            prefix.storeLittle(UInt32(description.payloadBytes(block: block)), at: 20)
            prefix.storeLittle(UInt64(block), at: 24)
            prefix.storeLittle(UInt64(description.length), at: 32)
            prefix.storeLittle(UInt32(description.blockSize), at: 40)
            hash.update(UnsafeRawBufferPointer(prefix))
        }
        return hash
    }

    private func seal(
        _ hash: inout PolynomialHash, _ index: ShareIndex, pad: Int, into tag: UnsafeMutableRawBufferPointer
    ) {
        hash.finish(into: tag)
        blob.withUnsafeBytes { bytes in
            let start = Self.offset(description, index) + (1 + pad) * Self.tagSize
            XOR.into(tag, UnsafeRawBufferPointer(rebasing: bytes[start..<start + Self.tagSize]))
        }
    }

    /// Whether a whole header (128 bytes) carries the right tag.
    func accepts(header: UnsafeRawBufferPointer, of index: ShareIndex) -> Bool {
        accepts(UnsafeRawBufferPointer(rebasing: header[ShareHeader.taggedBytes..<ShareHeader.size])) {
            tagHeader(index, header, into: $0)
        }
    }

    /// Whether a block, payload and tag, carries the right tag.
    func accepts(block: Int, _ bytes: UnsafeRawBufferPointer, of index: ShareIndex) -> Bool {
        let end = bytes.count - Self.tagSize
        return accepts(UnsafeRawBufferPointer(rebasing: bytes[end...])) {
            tagBlock(index, block, UnsafeRawBufferPointer(rebasing: bytes[..<end]), into: $0)
        }
    }

    /// Whether the tag is right for a block whose payload has gone into `hash`.
    func accepts(block: Int, tag: UnsafeRawBufferPointer, of index: ShareIndex, _ hash: inout PolynomialHash) -> Bool {
        accepts(tag) { seal(&hash, index, pad: 1 + block, into: $0) }
    }

    private func accepts(_ tag: UnsafeRawBufferPointer, by make: (UnsafeMutableRawBufferPointer) -> Void) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: Self.tagSize, alignment: 16) { expected in
            make(expected)
            let equal = constantTimeEqual(tag, UnsafeRawBufferPointer(expected))
            wipe(expected)
            return equal
        }
    }
}

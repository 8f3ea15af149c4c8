import Diagnostics
import Kernels
public import Randomness

/// Cuts an object into three shares as its bytes arrive, in constant memory (five blocks, and up to 8 MiB of random
/// numbers that are made ahead).
///
/// The sink gets each share's bytes in order, header first, then block by block: `A`, `B` and `C` of one block in turn.
/// Send or write them at once; the buffer is overwritten when the sink returns. One thread at a time.
public final class ShareSplitter {
    public typealias Sink = (ShareIndex, UnsafeRawBufferPointer) throws -> Void

    public let description: ShareSetDescription
    /// The owner's tag keys, complete from the start. Whoever splits keeps them.
    public let tags: ShareTags

    private let random: ReadAhead
    private let sink: Sink
    private let secret: SecureBytes
    private let shares: [ShareIndex: SecureBytes]
    private var filled = 0
    private var block = 0
    private var started = false

    /// - Parameters:
    ///   - objectID: names the object; shares of different objects are never joined.
    ///   - length: bytes of the object.
    ///   - blockSize: bytes of secret per block, a multiple of 32.
    ///   - random: gives one byte per byte of the object, read ahead by a thread of its own, and 16 per tag.
    /// - Throws: `.usage` for a length or block size that is not allowed, or what the source throws.
    public init(
        objectID: Identifier, length: Int, blockSize: Int = ShareSetDescription.defaultBlockSize,
        random: any RandomSource, sink: @escaping Sink
    ) throws {
        guard
            let description = ShareSetDescription(
                set: try Identifier(from: random), object: objectID, length: length, blockSize: blockSize)
        else {
            throw Failure(
                .usage, at: "block size \(blockSize)", "the length or the block size is not allowed",
                remedy: "take a multiple of 32 bytes up to \(ShareSetDescription.blockSizes.upperBound)")
        }
        self.description = description
        self.sink = sink
        tags = try ShareTags(for: description, from: random)
        self.random = ReadAhead(random, bytes: description.payloadBytes)
        let largest = min(blockSize, (length + 1) & ~1)
        secret = SecureBytes(count: largest)
        shares = Dictionary(
            uniqueKeysWithValues: ShareIndex.allCases.map { ($0, SecureBytes(count: largest + ShareTags.tagSize)) })
    }

    /// What the random numbers came from and cost so far, those of the tags apart.
    public var randomUse: RandomUse { random.use }

    /// Adds bytes of the object.
    ///
    /// - Throws: `.data` when they are more than the length that was announced, or what source and sink throw; after an
    ///   error the object is of no further use.
    public func append(_ bytes: UnsafeRawBufferPointer) throws {
        try start()
        var rest = bytes[...]
        while !rest.isEmpty {
            guard block < description.blockCount else {
                throw Failure(
                    .data, at: "object \(description.object)",
                    "the object is longer than the \(description.length) bytes announced",
                    remedy: "deposit a file that does not change meanwhile")
            }
            let whole = description.secretBytes(block: block)
            let piece = rest.prefix(whole - filled)
            secret.withUnsafeMutableBytes {
                UnsafeMutableRawBufferPointer(rebasing: $0[filled..<filled + piece.count])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: piece))
            }
            filled += piece.count
            rest = rest.dropFirst(piece.count)
            if filled == whole { try emitBlock() }
        }
    }

    /// Ends the object and wipes what is left of it.
    ///
    /// - Throws: `.data` when bytes are missing.
    public func finish() throws -> ShareSetDescription {
        try start()
        defer {
            secret.wipe()
            for share in shares.values { share.wipe() }
        }
        guard block == description.blockCount else {
            let got = block * description.blockSize + filled
            throw Failure(
                .data, at: "object \(description.object)",
                "the object ended after \(got) of \(description.length) bytes",
                remedy: "deposit a file that does not change meanwhile")
        }
        return description
    }

    private func start() throws {
        guard !started else { return }
        started = true
        for index in ShareIndex.allCases {
            try withUnsafeTemporaryAllocation(byteCount: ShareHeader.size, alignment: 16) { header in
                tags.writeHeader(index, into: header)
                try sink(index, UnsafeRawBufferPointer(header))
            }
        }
    }

    private func emitBlock() throws {
        let count = description.payloadBytes(block: block)
        guard let a = shares[.a], let b = shares[.b], let c = shares[.c] else { return }
        try secret.withUnsafeMutableBytes { secret in
            let secret = UnsafeMutableRawBufferPointer(rebasing: secret[..<count])
            // The byte that makes an odd block even.
            if filled < count { secret[filled] = 0 }
            try a.withUnsafeMutableBytes { a in
                try b.withUnsafeMutableBytes { b in
                    try c.withUnsafeMutableBytes { c in
                        let c = UnsafeMutableRawBufferPointer(rebasing: c[..<count])
                        try random.fill(c)
                        ShareBlock.split(
                            a: UnsafeMutableRawBufferPointer(rebasing: a[..<count]),
                            b: UnsafeMutableRawBufferPointer(rebasing: b[..<count]),
                            secret: UnsafeRawBufferPointer(secret), c: UnsafeRawBufferPointer(c))
                    }
                }
            }
        }
        for index in ShareIndex.allCases {
            try shares[index]?.withUnsafeMutableBytes { bytes in
                let whole = UnsafeMutableRawBufferPointer(rebasing: bytes[..<(count + ShareTags.tagSize)])
                tags.sealBlock(index, block, whole)
                try sink(index, UnsafeRawBufferPointer(whole))
            }
        }
        block += 1
        filled = 0
    }
}

extension ShareTags {
    /// Writes a share's header with its tag, 128 bytes.
    func writeHeader(_ index: ShareIndex, into header: UnsafeMutableRawBufferPointer) {
        ShareHeader(description, index: index).write(to: header)
        tagHeader(
            index, UnsafeRawBufferPointer(header),
            into: UnsafeMutableRawBufferPointer(rebasing: header[ShareHeader.taggedBytes...]))
    }

    /// Writes the tag behind a block's payload.
    func sealBlock(_ index: ShareIndex, _ block: Int, _ bytes: UnsafeMutableRawBufferPointer) {
        let end = bytes.count - Self.tagSize
        tagBlock(
            index, block, UnsafeRawBufferPointer(rebasing: bytes[..<end]),
            into: UnsafeMutableRawBufferPointer(rebasing: bytes[end...]))
    }
}

internal import Diagnostics
import Kernels

/// Reads one share as its bytes arrive and holds at most one block of it. With the owner's tags, a block that the
/// holder changed is refused before anybody sees it.
///
/// One thread at a time.
public final class ShareReader {
    /// The file or peer, for errors.
    public let place: String
    /// Known once the first 128 bytes have arrived.
    public private(set) var header: ShareHeader?
    /// The number of the block that is being read or, when `blockIsReady`, is held.
    public private(set) var block = 0
    /// Whether a whole, accepted block waits for `takeBlock`.
    public private(set) var blockIsReady = false

    private let tags: ShareTags?
    private let head = SecureBytes(count: ShareHeader.size)
    private var buffer: SecureBytes?
    private var filled = 0
    /// The hash of the block that is being read, as far as it has come.
    private var check: PolynomialHash?

    public init(place: String, tags: ShareTags?) {
        self.place = place
        self.tags = tags
    }

    /// Whether every block has been taken.
    public var isAtEnd: Bool { header.map { block == $0.description.blockCount } ?? false }

    /// Takes bytes of the share until a block is whole, and says how many it took: fewer than given means that the
    /// block has to be used first. At the end of the share it takes none.
    ///
    /// - Throws: `.data`, naming place and block, when header or tag is not right.
    public func append(_ bytes: UnsafeRawBufferPointer) throws -> Int {
        var taken = 0
        if header == nil {
            taken = fill(head, upTo: ShareHeader.size, bytes)
            guard filled == ShareHeader.size else { return taken }
            try readHeader()
        }
        guard let header, let buffer, !blockIsReady, !isAtEnd else { return taken }
        let whole = header.description.payloadBytes(block: block) + ShareTags.tagSize
        let start = filled
        taken += fill(buffer, upTo: whole, UnsafeRawBufferPointer(rebasing: bytes[taken...]))
        // Hashed as they come, while they are in the cache.
        let end = min(filled, whole - ShareTags.tagSize)
        if start < end, var check = check ?? tags?.beginBlock(header.index, block) {
            self.check = nil
            buffer.withUnsafeBytes { check.update(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
            self.check = check
        }
        guard filled == whole else { return taken }
        let accepted = buffer.withUnsafeBytes { bytes in
            guard let tags else { return true }
            guard var check else { preconditionFailure("a block has at least two bytes") }
            return tags.accepts(
                block: block, tag: UnsafeRawBufferPointer(rebasing: bytes[(whole - ShareTags.tagSize)..<whole]),
                of: header.index, &check)
        }
        check = nil
        guard accepted else {
            throw Failure(
                .data, at: "\(place):share \(header.index), block \(block)",
                "the block does not carry the owner's tag: it was changed",
                remedy: "use the other two shares, then repair this one")
        }
        blockIsReady = true
        return taken
    }

    /// Refuses a share that ended too early.
    public func checkEnd() throws {
        guard let header else {
            throw Failure(
                .data, at: "\(place):header", "the share ends inside its header",
                remedy: "fetch the share again or repair it from the other two")
        }
        guard isAtEnd else {
            throw Failure(
                .data, at: "\(place):share \(header.index), block \(block)",
                "the share is cut off: block \(block) of \(header.description.blockCount) is missing or incomplete",
                remedy: "fetch the share again or repair it from the other two")
        }
    }

    /// Hands out the payload of the held block, which may be changed in place, and goes on to the next. A scrub of a
    /// live holder feeds its share here with the owner's tags and takes each block unseen.
    public func takeBlock<Result>(_ body: (UnsafeMutableRawBufferPointer) throws -> Result) rethrows -> Result {
        guard blockIsReady, let buffer, let header else { preconditionFailure("no block is ready") }
        let count = header.description.payloadBytes(block: block)
        defer {
            blockIsReady = false
            block += 1
            filled = 0
        }
        return try buffer.withUnsafeMutableBytes { try body(UnsafeMutableRawBufferPointer(rebasing: $0[..<count])) }
    }

    private func readHeader() throws {
        let header = try head.withUnsafeBytes { bytes throws in
            let header = try ShareHeader(reading: bytes, place: place)
            guard let tags else { return header }
            guard tags.description.set == header.description.set, tags.description.object == header.description.object
            else {
                throw Failure(
                    .data, at: "\(place):header", "the share is not of the share set that the tags are for",
                    remedy: "take the share and the tag file of one split or refresh")
            }
            guard tags.description == header.description, tags.accepts(header: bytes, of: header.index) else {
                throw Failure(
                    .data, at: "\(place):share \(header.index), header",
                    "the header does not carry the owner's tag: it was changed",
                    remedy: "use the other two shares, then repair this one")
            }
            return header
        }
        self.header = header
        filled = 0
        let largest = header.description.blockCount > 0 ? header.description.payloadBytes(block: 0) : 0
        buffer = SecureBytes(count: largest + ShareTags.tagSize)
    }

    /// Copies what fits below `limit`.
    private func fill(_ target: SecureBytes, upTo limit: Int, _ bytes: UnsafeRawBufferPointer) -> Int {
        let count = min(limit - filled, bytes.count)
        target.withUnsafeMutableBytes {
            UnsafeMutableRawBufferPointer(rebasing: $0[filled..<filled + count])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        }
        filled += count
        return count
    }
}

internal import Diagnostics
import Kernels

/// Joins two shares as their bytes arrive, in any interleaving, and delivers the object in order, in constant memory
/// (two blocks): a side that is a whole block ahead takes nothing until the other has caught up.
///
/// With the owner's tags no byte of a block is delivered before both halves of its making have been accepted. Without
/// them only headers and lengths are checked: whoever then reads the object trusts the two holders. One thread at a
/// time.
public final class ShareJoiner {
    /// Gets the object's bytes; the buffer is wiped when it returns.
    public typealias Sink = (UnsafeRawBufferPointer) throws -> Void
    public enum Side: Sendable { case first, second }

    private let first: ShareReader
    private let second: ShareReader
    private let sink: Sink
    private var compatible = false
    /// An error is final.
    private var failed = false

    /// - Parameters:
    ///   - first: the file or peer of the first share, for errors.
    ///   - second: the same for the second.
    public init(first: String, second: String, tags: ShareTags?, sink: @escaping Sink) {
        self.first = ShareReader(place: first, tags: tags)
        self.second = ShareReader(place: second, tags: tags)
        self.sink = sink
    }

    /// What is being joined, once both headers are there and fit.
    public var description: ShareSetDescription? { compatible ? first.header?.description : nil }

    /// Takes bytes of one share and says how many; when that is fewer than given, feed the other side and come back
    /// with the rest. Bytes behind the end of a share are an error.
    ///
    /// - Throws: `.data`, naming share and block, or what the sink throws. An error is final.
    public func append(_ bytes: UnsafeRawBufferPointer, from side: Side) throws -> Int {
        precondition(!failed, "a joiner goes no further after an error")
        do {
            let reader = side == .first ? first : second
            var taken = 0
            while taken < bytes.count {
                if reader.isAtEnd { throw Self.tooLong(reader) }
                let now = try reader.append(UnsafeRawBufferPointer(rebasing: bytes[taken...]))
                taken += now
                let joined = try joinIfReady()
                if now == 0 && !joined { break }
            }
            return taken
        } catch {
            failed = true
            throw error
        }
    }

    /// Ends both shares.
    ///
    /// - Throws: `.data` when one was cut off.
    public func finish() throws {
        try first.checkEnd()
        try second.checkEnd()
    }

    static func tooLong(_ reader: ShareReader) -> Failure {
        Failure(
            .data, at: reader.place, "bytes follow the last block of the share",
            remedy: "fetch the share again or repair it from the other two")
    }

    private func joinIfReady() throws -> Bool {
        guard let x = first.header, let y = second.header else { return false }
        if !compatible {
            try ShareHeader.checkCompatible(x, first.place, y, second.place)
            compatible = true
        }
        guard first.blockIsReady, second.blockIsReady else { return false }
        let bytes = x.description.secretBytes(block: first.block)
        try first.takeBlock { first in
            try second.takeBlock { second in
                defer { wipe(first) }
                Self.join(first, x.index, UnsafeRawBufferPointer(second), y.index)
                try sink(UnsafeRawBufferPointer(rebasing: first[..<bytes]))
            }
        }
        return true
    }

    /// Puts the secret in place of the first share.
    static func join(
        _ first: UnsafeMutableRawBufferPointer, _ x: ShareIndex, _ second: UnsafeRawBufferPointer, _ y: ShareIndex
    ) {
        let own = UnsafeRawBufferPointer(first)
        switch (x, y) {
        case (.a, .b): ShareBlock.join(first, a: own, b: second)
        case (.b, .a): ShareBlock.join(first, a: second, b: own)
        case (.a, .c): ShareBlock.join(first, a: own, c: second)
        case (.c, .a): ShareBlock.join(first, a: second, c: own)
        case (.b, .c): ShareBlock.join(first, b: own, c: second)
        case (.c, .b): ShareBlock.join(first, b: second, c: own)
        case (.a, .a), (.b, .b), (.c, .c): preconditionFailure("one share twice")
        }
    }
}

import Diagnostics

/// One direction of a pair of roles: the pad that one sender alone may spend.
///
/// Two senders on one stretch of pad would be a two-time pad, so the other direction is a stream of its own. Bytes are
/// addressed by their absolute offset from the stream's beginning; both ends agree on offsets, never on "the next key".
public struct PadStream: Hashable, Codable, Sendable, CustomStringConvertible {
    /// The pool that the pad comes from: a key network, or a link between two trusted nodes.
    public let pool: String
    public let sender: String
    public let receiver: String

    public init(pool: String, sender: String, receiver: String) {
        self.pool = pool
        self.sender = sender
        self.receiver = receiver
    }

    public var description: String { "\(pool): \(sender) -> \(receiver)" }
}

/// Where a role's pad comes from: the key supply agent of its trusted node, or a node's store of link key.
public protocol PadSource: Sendable {
    /// Fills `destination` with the pad at `offset`: all of it or nothing.
    ///
    /// The caller is one end of the stream. Each end is given each byte at most once; the source erases its copy.
    /// - Parameter timeout: seconds to wait for key that is not there yet.
    /// - Throws: `Failure(.transient)` "insufficient key" with need, have, refill rate and time; `Failure(.data)` when
    ///   this end was given the bytes before, or when they were lost.
    func take(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double) throws

    /// The lowest offset, not below `offset`, that this end may still be given.
    ///
    /// It lies above `offset` after the source lost key, for instance when a trusted node was restarted.
    /// - Parameter timeout: seconds that the answer may take.
    func resume(_ stream: PadStream, from offset: UInt64, timeout: Double) throws -> UInt64

    /// One past the newest key that was ever made for a stream, as its sender's end of the source knows it: a receiver
    /// cannot have lost any above it. Nil when key comes into being without the sender's end, as on a quantum link.
    func made(_ stream: PadStream, timeout: Double) throws -> UInt64?

    /// Gives up whatever this end was not given below `offset`; the source erases it.
    func discard(_ stream: PadStream, below offset: UInt64, timeout: Double) throws

    /// Whether a stream's receiving end that was restarted may be given bytes that it was given before. Its mark is durable
    /// before it accepts anything then, for the source itself refuses no replay.
    func mayGiveAgain(_ stream: PadStream) -> Bool
}

extension PadSource {
    /// Seconds for an answer where nobody waits who has a deadline of his own.
    public static var patience: Double { 15 }

    public func mayGiveAgain(_ stream: PadStream) -> Bool { false }

    public func resume(_ stream: PadStream, from offset: UInt64, timeout: Double) throws -> UInt64 { offset }

    public func discard(_ stream: PadStream, below offset: UInt64, timeout: Double) throws {}

    public func made(_ stream: PadStream, timeout: Double) throws -> UInt64? { nil }

    public func resume(_ stream: PadStream, from offset: UInt64) throws -> UInt64 {
        try resume(stream, from: offset, timeout: Self.patience)
    }

    public func made(_ stream: PadStream) throws -> UInt64? { try made(stream, timeout: Self.patience) }

    public func discard(_ stream: PadStream, below offset: UInt64) throws {
        try discard(stream, below: offset, timeout: Self.patience)
    }
}

/// How a pad is cut and kept. Both ends may differ.
public struct PadOptions: Sendable {
    /// Bytes that a sending pad asks of its source at once, and the smallest reservation.
    public var chunk = 256 << 10
    /// Bytes that one durable mark may cover when a stream is busy: the most that a crash can lose.
    public var maximumReservation = 64 << 20
    /// Bytes of the pad in hand that only authentication may spend.
    public var authenticationReserve = 4 << 10
    /// The longest stretch of pad that a sender gives up because its peer says that it lost key.
    public var maximumSkip = 64 << 20
    /// How far behind the newest record an older one, of another connection, is still accepted, in bytes.
    public var window = 16 << 20
    /// Seconds after which pad in hand is erased and booked as expired; nil for never.
    public var lifetime: Double?

    public init() {}

    func validated() throws -> PadOptions {
        guard chunk >= 1 << 10, chunk <= 16 << 20, maximumReservation >= chunk, maximumReservation <= 1 << 30,
            authenticationReserve >= 0, authenticationReserve <= 1 << 20, maximumSkip >= 0, window >= 0,
            lifetime ?? 1 > 0
        else {
            throw Failure(
                .configuration, at: "pad options",
                "chunk \(chunk), reservation \(maximumReservation) or reserve \(authenticationReserve) is out of range",
                remedy: "use a chunk of 1 KiB to 16 MiB, a reservation from there to 1 GiB, a reserve up to 1 MiB")
        }
        return self
    }
}

/// What a stretch of pad was spent on.
public enum PadPurpose: Sendable {
    case data
    /// Proof of identity at connect; may spend the authentication reserve.
    case handshake
}

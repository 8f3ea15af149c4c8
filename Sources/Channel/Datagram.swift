/// What every datagram's plaintext begins with.
package struct DatagramHead: Equatable, Sendable {
    package static let size = 16
    package var kind: UInt8
    /// The transfer that it belongs to.
    package var stream: UInt32
    /// Of data, where it lies in its object, in bytes.
    package var position: UInt64

    package init(kind: UInt8, stream: UInt32, position: UInt64) {
        self.kind = kind
        self.stream = stream
        self.position = position
    }

    package init(reading bytes: UnsafeRawBufferPointer) {
        kind = bytes[0]
        stream = bytes.load(bigEndian: UInt32.self, at: 4)
        position = bytes.load(bigEndian: UInt64.self, at: 8)
    }

    package func write(to bytes: UnsafeMutableRawBufferPointer) {
        bytes.store(bigEndian: UInt32(kind) << 24, at: 0)
        bytes.store(bigEndian: stream, at: 4)
        bytes.store(bigEndian: position, at: 8)
    }
}

/// A datagram to be sent. The payload stays where it is until the call that sends it returns.
package struct OutgoingDatagram {
    package var head: DatagramHead
    package var payload: UnsafeRawBufferPointer

    package init(head: DatagramHead, payload: UnsafeRawBufferPointer) {
        self.head = head
        self.payload = payload
    }
}

/// A datagram that was received and whose tag was right. The payload is valid only in the call that hands it out.
package struct IncomingDatagram {
    package var sequence: UInt64
    package var head: DatagramHead
    package var payload: UnsafeRawBufferPointer

    package init(sequence: UInt64, head: DatagramHead, payload: UnsafeRawBufferPointer) {
        self.sequence = sequence
        self.head = head
        self.payload = payload
    }
}

/// Two ends that exchange datagrams, with loss, duplication and reordering. What ``DatagramTransfer`` runs over; the
/// benchmark has one without pad, to compare.
package protocol DatagramCarrier: AnyObject {
    /// The most payload that one datagram carries, in bytes.
    var maximumPayload: Int { get }
    /// The most bytes of payload that may be on their way.
    var reach: Int { get }

    /// Sends the datagrams in order, many to a system call, and returns the sequence of the first; the others follow.
    func send(_ datagrams: [OutgoingDatagram], timeout: Double) throws -> UInt64

    /// Waits for datagrams at most `timeout` seconds and hands each to `body`; returns how many there were.
    func receive(timeout: Double, _ body: (IncomingDatagram) throws -> Void) throws -> Int
}

/// Why datagrams were refused, and how many.
public struct DatagramRefusals: Sendable, Equatable {
    /// Shorter than the shortest record, or of another length than its header says.
    public var truncated: UInt64 = 0
    /// A header that nobody makes.
    public var malformed: UInt64 = 0
    /// Its pad was used or given up before: a replay, or too late.
    public var replayed: UInt64 = 0
    /// Pad further ahead than any genuine datagram's.
    public var outOfReach: UInt64 = 0
    /// Its pad is not there yet.
    public var noKey: UInt64 = 0
    /// The tag is wrong: altered, forged, or of another session or direction.
    public var forged: UInt64 = 0

    public var total: UInt64 { truncated + malformed + replayed + outOfReach + noKey + forged }
}

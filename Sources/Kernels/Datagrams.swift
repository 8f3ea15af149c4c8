import CKernels

/// Datagrams in batches over a connected UDP socket, in plain system calls. Results below 0 are negative errno.
public enum Datagrams {
    /// Bytes that one received batch may have, and datagrams that one call sends at most.
    public static let slotSize = Int(CK_DATAGRAM_SLOT)
    public static let most = Int(CK_DATAGRAM_MOST)

    /// What one slot received: `length` bytes, which are datagrams of `segment` bytes, the last one with what is left.
    public struct Batch: Sendable {
        public var length: UInt32
        public var segment: UInt32
    }

    /// Makes room in the socket's buffers and lets the kernel hand over datagrams joined, where it can. True when it
    /// also cuts them for the sender.
    public static func prepare(_ socket: Int32, bufferBytes: Int) -> Bool {
        _ = ck_datagram_prepare(socket, Int32(clamping: bufferBytes))
        return ck_datagram_can_offload(socket) == 1
    }

    /// Sends the bytes as datagrams of `segment` bytes, the last one with what is left; returns the bytes sent.
    public static func send(
        _ socket: Int32, _ bytes: UnsafeRawBufferPointer, segment: Int, offload: Bool
    ) -> Int {
        ck_datagram_send(socket, bytes.baseAddress, bytes.count, segment, offload ? 1 : 0)
    }

    /// Receives what is there, without waiting, each batch into a slot of its own; returns how many.
    public static func receive(
        _ socket: Int32, into slots: UnsafeMutableRawBufferPointer, _ batches: UnsafeMutableBufferPointer<Batch>
    ) -> Int {
        let count = min(batches.count, slots.count / slotSize)
        guard count > 0, let base = batches.baseAddress else { return 0 }
        return base.withMemoryRebound(to: ck_datagram_batch.self, capacity: count) {
            Int(ck_datagram_receive(socket, slots.baseAddress, Int32(clamping: count), $0))
        }
    }

    /// Waits until the socket can be read, or written; false when `seconds` are over before.
    public static func wait(_ socket: Int32, writing: Bool, seconds: Double) -> Bool {
        ck_datagram_wait(socket, writing ? 1 : 0, seconds) == 1
    }
}

/// Moves the calling thread, and threads that it starts afterwards, into the network namespace of that file. Returns 0
/// or errno.
public func enterNetworkNamespace(_ path: String) -> Int32 { ck_process_enter_network(path) }

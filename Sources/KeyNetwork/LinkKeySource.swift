import Diagnostics
import OneTimePad

/// The pad of a node's channels: link key, each stream's from the store of its link.
struct LinkKeySource: PadSource {
    let stores: [String: LinkKeyStore]

    private func store(_ stream: PadStream) throws -> LinkKeyStore {
        guard let store = stores[stream.sender] ?? stores[stream.receiver] else {
            throw Failure(.internalError, at: "\(stream)", "there is no such link here", remedy: "report the fault")
        }
        return store
    }
    func take(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        try store(stream).take(stream, offset: offset, into: destination, timeout: timeout)
    }
    func resume(_ stream: PadStream, from offset: UInt64, timeout: Double) throws -> UInt64 {
        try store(stream).resume(stream, from: offset, timeout: timeout)
    }
    func discard(_ stream: PadStream, below offset: UInt64, timeout: Double) throws {
        try store(stream).discard(stream, below: offset, timeout: timeout)
    }
}

import Channel
import Diagnostics
import Dispatch
import Foundation
import Kernels
import OneTimePad
import Testing

/// A source that answers for pad to bob only when it is released.
private struct StuckSource: PadSource {
    let inner: any PadSource
    let entered = DispatchSemaphore(value: 0)
    let released = DispatchSemaphore(value: 0)

    func take(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        if stream.receiver == "bob" {
            entered.signal()
            _ = released.wait(timeout: .now() + 60)
        }
        try inner.take(stream, offset: offset, into: destination, timeout: timeout)
    }
}

@Suite struct PadCabinetTests {
    /// A pad that cannot be closed keeps no other open.
    @Test func allPadsAreClosed() throws {
        let directory = NSTemporaryDirectory() + "dsgd-cabinet-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let ledger = try PadLedger(path: directory + "/pad.sqlite", owner: "alice")
        let source = StuckSource(inner: memorySource().end(of: "alice"))
        let peers = ["bob", "carol", "dave", "erin"]
        let cabinet = PadCabinet(identity: "alice", pool: "test", peers: peers, source: source, ledger: ledger)
        let pads = try peers.map { try cabinet.pads(for: $0) }
        for pair in pads.dropFirst() { try pair.sending.spend(.data, data: 100, tag: 16, timeout: 60) { _, _ in } }
        let done = DispatchSemaphore(value: 0)
        let bob = pads[0].sending
        Thread.detachNewThread {
            _ = thrown { try bob.spend(.data, data: 100, tag: 16, timeout: 60) { _, _ in } }
            done.signal()
        }
        #expect(source.entered.wait(timeout: .now() + 60) == .success)
        #expect(thrown { try cabinet.close(within: 0.01) }?.kind == .transient)
        for pair in pads {
            let sending = thrown { try pair.sending.spend(.data, data: 1, tag: 16, timeout: 0) { _, _ in } }
            let scratch = SecureBytes(count: 64)
            let receiving = thrown {
                try scratch.withUnsafeMutableBytes {
                    try pair.receiving.accept(.data, offset: 0, data: 1, tag: 16, timeout: 0, scratch: $0) { _ in }
                }
            }
            #expect(sending?.problem == "the pad is closed" && receiving?.problem == "the pad is closed")
        }
        let lines = try ledger.balance().filter { $0.side == .sender && $0.receiver != "bob" }
        #expect(lines.count == 3 && lines.allSatisfy { $0.balanced && $0.onHand == 0 && $0.expired > 0 })
        source.released.signal()
        #expect(done.wait(timeout: .now() + 60) == .success)
    }
}

import Diagnostics
import Foundation
import Glibc
import Kernels
import KeyNetwork
import OneTimePad
import Randomness
import Testing

/// A node with a generator of its own, as `random_device` names it: a file, or a FIFO that somebody feeds.
@Suite(.serialized) struct NodeRandomTests {
    private let network: TestNetwork
    private let alice: KeySupplyClient
    private let bob: KeySupplyClient

    init() throws {
        network = try TestNetwork(
            ["a", "b"], links: [("a", "b")], roles: [("alice", "a"), ("bob", "b")], stockMib: 4)
        alice = try network.client("alice")
        bob = try network.client("bob")
    }

    /// Starts node a again, with that generator.
    private func restart(device: String) throws {
        try network.kill("a")
        let node = try KeyNode(
            name: "a", topology: network.topology, source: HealthTestedSource(device: device))
        try node.start()
        network.nodes["a"] = node
        try network.settle()
    }

    private func random(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes { try fillFromKernel($0) }
        return bytes
    }

    @Test func theKeyIsWhatTheGeneratorGave() throws {
        let fifo = "\(network.directory)/generator"
        #expect(mkfifo(fifo, 0o600) == 0)
        let noise = try random(4 << 20)
        Thread.detachNewThread {
            // The node reads as much as it needs; a reader that is gone ends the writing.
            signal(SIGPIPE, SIG_IGN)
            let descriptor = open(fifo, O_WRONLY)
            var at = 0
            while at < noise.count {
                let count = noise.withUnsafeBytes { write(descriptor, $0.baseAddress! + at, $0.count - at) }
                if count <= 0 { break }
                at += count
            }
            close(descriptor)
        }
        try restart(device: fifo)
        for _ in 0..<5 {
            let offset = try alice.resume(stream, from: 0)
            let key = try take(alice, stream, offset, 10_000)
            #expect(try take(bob, stream, offset, 10_000) == key)
            #expect(Data(noise).range(of: Data(key)) != nil, "the key is not the generator's")
        }
    }

    @Test func aGeneratorThatIsBadFromTheStartIsRefused() throws {
        let file = "\(network.directory)/zeros"
        try Data(count: 1 << 20).write(to: URL(fileURLWithPath: file))
        let failure = thrown { try restart(device: file) }
        #expect(failure?.kind == .inputOutput && failure?.problem.contains("health test") == true)
        #expect(network.nodes["a"] == nil)
        #expect(thrown { _ = try take(alice, stream, 0, 100, timeout: 0) } != nil)
    }

    /// Good for a while, then stuck: what was made with the last of it is given to nobody, and nothing comes after.
    @Test(arguments: ["stuck", "ended"]) func aGeneratorThatFailsStopsTheService(how: String) throws {
        let file = "\(network.directory)/noise"
        let noise = try random(300_000) + (how == "stuck" ? [UInt8](repeating: 7, count: 1 << 20) : [])
        try Data(noise).write(to: URL(fileURLWithPath: file))
        try restart(device: file)
        var offset = try alice.resume(stream, from: 0)
        var given = 0
        var failure: Failure?
        for _ in 0..<100 where failure == nil {
            failure = thrown {
                let key = try take(alice, stream, offset, 10_000)
                #expect(try take(bob, stream, offset, 10_000) == key)
                #expect(Data(noise[..<300_000]).range(of: Data(key)) != nil)
                given += 1
            }
            offset += 10_000
        }
        let problem = failure?.problem ?? ""
        #expect(failure?.kind == .inputOutput && problem.contains(how == "stuck" ? "health test" : "ended"), "\(problem)")
        #expect(given > 5 && given < 30)
        for _ in 0..<3 {
            let next = try alice.resume(stream, from: offset)
            #expect(thrown { _ = try take(alice, stream, next, 100, timeout: 0) }?.kind == .inputOutput)
        }
        #expect(try network.nodes.values.flatMap { try $0.status().ledger }.allSatisfy(\.balanced))
        // With a generator in order the node serves again, and nothing of it was given twice.
        let good = "\(network.directory)/good"
        let more = try random(2 << 20)
        try Data(more).write(to: URL(fileURLWithPath: good))
        try restart(device: good)
        let next = try alice.resume(stream, from: offset)
        let key = try take(alice, stream, next, 10_000)
        #expect(try take(bob, stream, next, 10_000) == key && Data(more).range(of: Data(key)) != nil)
    }
}

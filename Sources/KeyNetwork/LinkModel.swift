import Channel
import Diagnostics
import Foundation
import Kernels
public import Randomness
import Synchronization

/// Plays the quantum links: makes equal random key and writes it to both ends of every link, at the link's rate.
///
/// It stands where the drivers of real links stand and uses their interface, each node's `quantum.sock`, and nothing else
/// of the nodes. The initial stock is delivered at once, what comes after it at the rate; a full store holds a direction
/// back. Photons, and so eavesdroppers on the link, are not modelled beyond the rate formula.
public final class LinkModel: Sendable {
    private let topology: NetworkTopology
    private let source: any RandomSource
    private let stopping = Atomic<Bool>(false)
    private let running = Atomic<Int>(0)

    /// - Parameter source: random bytes for the key; nil for the kernel's generator under health tests.
    public init(_ topology: NetworkTopology, source: (any RandomSource)? = nil) throws {
        try topology.validate()
        self.topology = topology
        self.source = try source ?? HealthTestedSource(wrapping: KernelRandomSource())
    }

    /// Serves all links until `stop`. Nodes may come and go.
    public func run() {
        start()
        while running.load(ordering: .acquiring) > 0 { Thread.sleep(forTimeInterval: 0.05) }
    }

    /// Serves all links on threads of their own.
    public func start() {
        for link in topology.links {
            running.add(1, ordering: .acquiringAndReleasing)
            detachThread("dsgd-link") { [self] in
                while !stopping.load(ordering: .acquiring) {
                    // A node that is down is no failure of the link: it delivers when the node is back.
                    do { try serve(link) } catch { Thread.sleep(forTimeInterval: 0.2) }
                }
                running.subtract(1, ordering: .acquiringAndReleasing)
            }
        }
    }

    /// Ends the threads and waits for them.
    public func stop() {
        stopping.store(true, ordering: .releasing)
        while running.load(ordering: .acquiring) > 0 { Thread.sleep(forTimeInterval: 0.01) }
    }

    /// Whether a direction takes a block: both ends have room, or they have come apart.
    ///
    /// A node that was restarted holds nothing, while its neighbour may be full of key that has lost its partner. Such ends
    /// get blocks at once, above the full one's limit: they tell both from where on they agree, and what is older is
    /// given up when they connect.
    private static func isDue(_ direction: Int, _ states: [QuantumSocket.State], stockMib: Double) -> Bool {
        let next = states.map { direction == 0 ? $0.next.0 : $0.next.1 }
        let room = states.map { direction == 0 ? $0.room.0 : $0.room.1 }
        let (least, most) = (room.min() ?? 0, room.max() ?? 0)
        if least >= UInt64(QuantumSocket.block) || Set(next).count > 1 { return true }
        return most >= UInt64(stockMib * 1_048_576 / 4) + (1 << 20)
    }

    private func serve(_ link: NetworkTopology.Link) throws {
        let ends = try [link.ordered.0, link.ordered.1].map {
            try QuantumSocket.Client(path: topology.node($0).quantumSocket, link: link.name)
        }
        var states = try ends.map { try $0.state() }
        let block = SecureBytes(count: QuantumSocket.block)
        var budget = link.stockMib * 1_048_576
        var time = Deadline.clock()
        var turn = 0
        while !stopping.load(ordering: .acquiring) {
            let clock = Deadline.clock()
            budget += (clock - time) * link.rate / 8
            time = clock
            // A link that waited on full stores has not saved up key meanwhile.
            budget = min(budget, max(link.stockMib * 1_048_576, link.rate / 8) + Double(QuantumSocket.block))
            guard budget >= Double(QuantumSocket.block) else {
                Thread.sleep(forTimeInterval: 0.005)
                continue
            }
            let direction = [turn, 1 - turn].first { Self.isDue($0, states, stockMib: link.stockMib) }
            guard let direction else {
                Thread.sleep(forTimeInterval: 0.02)
                states = try ends.map { try $0.state() }
                continue
            }
            turn = 1 - direction
            let number = states.map { direction == 0 ? $0.next.0 : $0.next.1 }.max() ?? 0
            try block.withUnsafeMutableBytes { try source.fill($0) }
            // The fuller end first: what it refuses the other must not hold, or it would have key without a partner.
            let room = states.map { direction == 0 ? $0.room.0 : $0.room.1 }
            for index in room[0] <= room[1] ? [0, 1] : [1, 0] {
                states[index] = try ends[index].deliver(number, block)
                if states[index].status != .stored { break }
            }
            block.wipe()
            guard states.allSatisfy({ $0.status == .stored }) else {
                throw Failure(
                    .data, at: "link \(link.name)", "a node refused block \(number)",
                    remedy: "the link begins again with what both nodes accept")
            }
            budget -= Double(QuantumSocket.block)
        }
    }
}

import Channel
import Diagnostics
import Foundation
import Kernels
import Metering
public import Randomness
import Synchronization

/// Plays the quantum links: makes equal random key and writes it to both ends of every link, at the link's rate.
///
/// It stands where the drivers of real links stand and uses their interface, each node's `quantum.sock`, and nothing
/// else of the nodes. Of the initial stock, and of key that gathered while nobody took any, each direction gets
/// `plenty` as fast as it goes, whenever it has less, and the rest in the background at a bounded share of a processor.
/// What comes after the initial stock comes at the rate; a full store holds a direction back. Photons, and so
/// eavesdroppers on the link, are not modelled beyond the rate formula.
public final class LinkModel: Sendable {
    private let topology: NetworkTopology
    private let source: any RandomSource
    private let stopping = Atomic<Bool>(false)
    private let running = Atomic<Int>(0)
    /// Bytes per direction with which a store is in no hurry.
    private static let plenty: UInt64 = 4 << 20
    /// The share of one processor that all links together may use when no store is in a hurry.
    private static let backgroundShare = 0.2

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

    /// Where one end's store stays full and the other's has not half as much, the lean end was restarted and has lost
    /// what fills the full one. As much as the lean end has stays, and key of records that may still be on their way.
    private func makeRoom(
        _ ends: [QuantumSocket.Client], _ states: inout [QuantumSocket.State], _ limits: [UInt64]
    ) throws {
        for direction in 0...1 {
            let rooms = states.map { direction == 0 ? $0.room.0 : $0.room.1 }
            guard !rooms.contains(QuantumSocket.State.blocked) else { continue }
            let held = zip(limits, rooms).map { $0 - min($0, $1) }
            for (full, lean) in [(0, 1), (1, 0)] where rooms[full] < UInt64(QuantumSocket.block) {
                guard held[lean] < held[full] / 2 else { continue }
                let next = states.map { direction == 0 ? $0.next.0 : $0.next.1 }
                // An end that crashed knows less than it was given; then it has nothing of what the full one holds.
                let kept =
                    next[lean] < next[full] ? 0 : held[lean] / UInt64(QuantumSocket.block) + 1 + Self.onTheirWay
                let newest = max(next[0], next[1])
                states[full] = try ends[full].discard(below: newest - min(newest & ~1, 2 * kept))
            }
        }
    }

    /// Blocks of one direction.
    private static let onTheirWay: UInt64 = 16

    private func serve(_ link: NetworkTopology.Link) throws {
        let ends = try [link.ordered.0, link.ordered.1].map {
            try QuantumSocket.Client(path: topology.node($0).quantumSocket, link: link.name)
        }
        var states = try ends.map { try $0.state() }
        let run = SecureBytes(count: QuantumSocket.longestRun)
        let block = Double(QuantumSocket.block)
        let limits = try [link.ordered.0, link.ordered.1].map {
            topology.storeLimit(of: link, at: try topology.node($0))
        }
        let limit = limits.min() ?? 0
        var budget = link.stockMib * 1_048_576
        var time = monotonicSeconds()
        var turn = 0
        /// How often in a row no direction had room at both ends.
        var stuck = 0
        while !stopping.load(ordering: .acquiring) {
            let clock = monotonicSeconds()
            budget += (clock - time) * link.rate / 8
            time = clock
            // A link that waited on full stores has not saved up key meanwhile.
            budget = min(budget, max(link.stockMib * 1_048_576, link.rate / 8) + block)
            let rooms = [states.map(\.room.0).min() ?? 0, states.map(\.room.1).min() ?? 0]
            let low = limit - min(Self.plenty, limit / 4)
            let hurry = rooms.contains { $0 > low && $0 >= UInt64(QuantumSocket.block) }
            // A link in no hurry waits until whole runs have gathered.
            let least = hurry || link.rate == 0 ? block : Double(QuantumSocket.longestRun)
            guard budget >= least else {
                Thread.sleep(forTimeInterval: hurry ? 0.01 : 0.03)
                states = try ends.map { try $0.state() }
                continue
            }
            // The direction that has less comes first, the turn decides between equals.
            let order = rooms[0] == rooms[1] ? [turn, 1 - turn] : rooms[0] > rooms[1] ? [0, 1] : [1, 0]
            guard let direction = order.first(where: { rooms[$0] >= UInt64(QuantumSocket.block) }) else {
                Thread.sleep(forTimeInterval: 0.05)
                states = try ends.map { try $0.state() }
                stuck += 1
                if stuck >= 20 {
                    try makeRoom(ends, &states, limits)
                    stuck = 0
                }
                continue
            }
            stuck = 0
            turn = 1 - direction
            // Half of what there is, so that the other direction gets as much.
            let most = min(max(block, budget / 2), Double(rooms[direction]), Double(QuantumSocket.longestRun))
            let count = Int(most / block) * QuantumSocket.block
            let number = states.map { direction == 0 ? $0.next.0 : $0.next.1 }.max() ?? 0
            try run.withUnsafeMutableBytes { bytes in
                let key = UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
                defer { wipe(key) }
                try source.fill(key)
                // The fuller end first: what it refuses the other must not hold, or it would have key without a
                // partner.
                let room = states.map { direction == 0 ? $0.room.0 : $0.room.1 }
                for index in room[0] <= room[1] ? [0, 1] : [1, 0] {
                    states[index] = try ends[index].deliver(number, UnsafeRawBufferPointer(key))
                    if states[index].status != .stored { break }
                }
            }
            guard states.allSatisfy({ $0.status == .stored }) else {
                throw Failure(
                    .data, at: "link \(link.name)", "a node refused block \(number)",
                    remedy: "the link begins again with what both nodes accept")
            }
            budget -= Double(count)
            if !hurry {
                let spent = monotonicSeconds() - clock
                Thread.sleep(forTimeInterval: min(0.2, spent * Double(topology.links.count) / Self.backgroundShare))
            }
        }
    }
}

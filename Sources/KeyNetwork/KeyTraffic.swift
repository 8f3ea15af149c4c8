import Foundation
import Metering
import OneTimePad

/// What went through a node lately: the rates of its links over the last minute, and the key that it relayed.
///
/// `@unchecked Sendable`: `lock` guards every variable.
final class KeyTraffic: @unchecked Sendable {
    /// Bytes per second.
    struct Rates {
        var use = 0.0
        var supply = 0.0
    }
    enum Relay { case sent, passedOn, arrived }

    private struct Sample {
        var time: Double
        var counts: (out: PadCounts, in: PadCounts)
    }
    private let lock = NSLock()
    private var samples: [String: [Sample]] = [:]
    private var totals = KeyNodeStatus.Relay()
    private static let span = 60.0
    /// Seconds between two samples that are kept.
    private static let grain = 1.0

    func sample(_ counts: [String: (out: PadCounts, in: PadCounts)]) {
        let time = monotonicSeconds()
        lock.withLock {
            for (peer, counts) in counts {
                var row = samples[peer] ?? []
                if let last = row.last, time - last.time < Self.grain { continue }
                row.append(Sample(time: time, counts: counts))
                row.removeFirst(row.prefix { time - $0.time > Self.span }.count)
                samples[peer] = row
            }
        }
    }

    func rates(_ peer: String) -> (out: Rates, in: Rates) {
        lock.withLock {
            guard let row = samples[peer], let first = row.first, let last = row.last, last.time > first.time else {
                return (Rates(), Rates())
            }
            let seconds = last.time - first.time
            func rates(_ old: PadCounts, _ new: PadCounts) -> Rates {
                Rates(use: Double(new.data - old.data) / seconds, supply: Double(new.mark - old.mark) / seconds)
            }
            return (rates(first.counts.out, last.counts.out), rates(first.counts.in, last.counts.in))
        }
    }

    var relay: KeyNodeStatus.Relay { lock.withLock { totals } }

    func relayed(_ kind: Relay, _ bytes: Int) {
        lock.withLock {
            switch kind {
            case .sent: totals.sent += UInt64(bytes)
            case .passedOn: totals.passedOn += UInt64(bytes)
            case .arrived: totals.arrived += UInt64(bytes)
            }
        }
    }

    func relayFailed() { lock.withLock { totals.failures += 1 } }
}

import Foundation
import Metering

/// Makes those wait who fail to prove themselves: every failed attempt costs pad on this side.
///
/// Keyed by remote address and pool, so one peer's failures do not lock out another at the same address.
/// `@unchecked Sendable`: `lock` guards `entries`.
final class RateLimiter: @unchecked Sendable {
    private struct Entry {
        var failures: Int
        var until: Double
    }

    private let lock = NSLock()
    private var entries: [String: Entry] = [:]
    private let first: Double
    private let longest: Double

    init(first: Double, longest: Double) {
        self.first = first
        self.longest = longest
    }

    /// Seconds that this key still has to wait.
    func wait(_ key: String) -> Double {
        lock.withLock { max(0, (entries[key]?.until ?? 0) - monotonicSeconds()) }
    }

    func failed(_ key: String) {
        lock.withLock {
            let time = monotonicSeconds()
            if entries.count > 4096 { entries = entries.filter { $0.value.until + longest > time } }
            let failures = (entries[key]?.failures ?? 0) + 1
            let delay = min(longest, first * Double(1 << min(failures - 1, 20)))
            entries[key] = Entry(failures: failures, until: time + delay)
        }
    }

    func succeeded(_ key: String) {
        lock.withLock { _ = entries.removeValue(forKey: key) }
    }
}

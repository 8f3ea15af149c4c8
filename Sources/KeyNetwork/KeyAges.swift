import Metering

/// When the key of a stream came, by offset: what tells how old key is.
struct KeyAges {
    private var arrivals: [(end: UInt64, time: Double)] = []
    /// Seconds within which key counts as come together.
    private let grain: Double

    /// - Parameter lifetime: seconds after which key is expired.
    init(lifetime: Double) { grain = min(1, lifetime / 16) }

    mutating func add(end: UInt64) {
        let time = monotonicSeconds()
        if let last = arrivals.last, time - last.time < grain {
            // The younger part of what came together must not count as older than it is.
            arrivals[arrivals.count - 1].end = max(last.end, end)
        } else {
            arrivals.append((end, time))
        }
    }

    /// The offset below which all key is older than that many seconds, once; nil when no more has come of age.
    mutating func expired(after seconds: Double) -> UInt64? {
        let oldest = monotonicSeconds() - seconds - grain
        let count = arrivals.prefix { $0.time <= oldest }.count
        guard count > 0 else { return nil }
        defer { arrivals.removeFirst(count) }
        return arrivals[count - 1].end
    }
}

/// How old key may become before it is erased.
struct KeyLifetime {
    /// Seconds of key to send with.
    let sending: Double
    /// Key to receive with stays a little longer, so that what was sent at the last moment can be read.
    let receiving: Double

    /// - Parameter hours: nil for key that never expires.
    init?(hours: Double?) {
        guard let hours else { return nil }
        sending = hours * 3600
        receiving = sending + min(sending, 60)
    }
}

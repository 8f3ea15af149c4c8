import Diagnostics
import Foundation
package import Kernels
import Metering
package import OneTimePad
package import Randomness

/// Key that travels on two ways as R and key XOR R: whoever sees one of them alone learns nothing of the key.
///
/// R is fresh for each attempt, so a node that saw R of one attempt and the other part of the next has two unrelated
/// numbers.
package enum KeySplit {
    /// The parts, in the order of the ways.
    package static func parts(_ key: UnsafeRawBufferPointer, _ source: any RandomSource) throws -> [SecureBytes] {
        let mask = SecureBytes(count: key.count)
        try mask.withUnsafeMutableBytes { try source.fill($0) }
        let masked = SecureBytes(copying: key)
        masked.withUnsafeMutableBytes { masked in mask.withUnsafeBytes { XOR.into(masked, $0) } }
        return [mask, masked]
    }
}

/// Which part of which attempt a message between nodes carries.
package struct SplitPart: Codable, Sendable, Hashable {
    /// The origin's number of the attempt.
    package var attempt: UInt64
    /// 0 or 1.
    package var part: Int

    package init(attempt: UInt64, part: Int) {
        self.attempt = attempt
        self.part = part
    }
}

/// Parts at the receiver's node that wait for their other half.
///
/// `@unchecked Sendable`: `lock` guards `waiting` and `bytes`; it is held while a whole key is stored, so that keys
/// whose halves come over different connections are stored in the order in which they became whole.
package final class SplitParts: @unchecked Sendable {
    private struct Name: Hashable {
        var origin: String
        var stream: PadStream
        var offset: UInt64
        var attempt: UInt64
    }
    private struct Waiting {
        var part: Int
        var key: SecureBytes
        var route: [String]
        var since: Double
    }
    private let lock = NSLock()
    private var waiting: [Name: Waiting] = [:]
    private var bytes = 0
    private static let lifetime = 30.0
    private static let maximumBytes = 64 << 20

    package init() {}

    /// Takes a part, and stores the key when it is the second; true then.
    ///
    /// - Parameter route: the way it came, from the node that sent it to this one.
    package func add(
        _ split: SplitPart, _ key: UnsafeRawBufferPointer, of stream: PadStream, offset: UInt64, route: [String],
        store: (SecureBytes) throws -> Void
    ) throws -> Bool {
        let origin = route.first ?? ""
        let name = Name(origin: origin, stream: stream, offset: offset, attempt: split.attempt)
        return try lock.withLock {
            purge()
            guard let other = waiting[name] else {
                guard bytes + key.count <= Self.maximumBytes else {
                    throw Failure(
                        .transient, at: "\(stream)", "too many halves of keys wait for the other half",
                        remedy: "look whether one of the two ways hangs")
                }
                waiting[name] = Waiting(
                    part: split.part, key: SecureBytes(copying: key), route: route, since: monotonicSeconds())
                bytes += key.count
                return false
            }
            remove(name, other)
            guard other.part != split.part, other.key.count == key.count,
                Set(other.route.dropFirst().dropLast()).isDisjoint(with: route.dropFirst().dropLast())
            else {
                throw Failure(
                    .data, at: "\(stream)",
                    "two halves of a key came from node \(origin) that do not belong together, or have a node in common",
                    remedy: "run the same release of dsgd at every node")
            }
            other.key.withUnsafeMutableBytes { XOR.into($0, key) }
            try store(other.key)
            return true
        }
    }

    /// Erases halves whose other half did not come.
    func expire() { lock.withLock { purge() } }

    private func purge() {
        let oldest = monotonicSeconds() - Self.lifetime
        for (name, part) in waiting where part.since < oldest { remove(name, part) }
    }

    private func remove(_ name: Name, _ part: Waiting) {
        waiting[name] = nil
        bytes -= part.key.count
    }
}

public import Foundation
import Diagnostics
import Glibc

/// What the erasure of a secret rests on.
public enum ErasureGuarantee: String, Codable, Sendable {
    case informationTheoretic = "information-theoretic"
    case computational
    case bestEffort = "best effort"
}

/// The proof that a node erased a stretch of link key, step by step as in Figure 5 of the paper, and what each step
/// guarantees.
public struct ErasureReceipt: Codable, Sendable, Equatable {
    public enum Reason: String, Codable, Sendable {
        case used
        /// The other end had lost it.
        case givenUp = "given up"
        case expired
        /// Left over when the node stopped.
        case stopped
        /// Found on the disk when the node started: its K2 went with the process before.
        case lostBefore = "lost before the start"
    }

    public struct Step: Codable, Sendable, Equatable {
        /// `K1` to `K4` of Figure 5.
        public var key: String
        public var done: String
        public var guarantee: ErasureGuarantee
    }

    public var time: Date
    /// Both ends, sorted, and the node whose copy it was.
    public var link: String
    public var node: String
    public var sender: String
    /// First pad offset, and bytes of pad.
    public var offset: UInt64
    public var bytes: UInt64
    public var reason: Reason
    public var steps: [Step]

    /// The steps of Figure 5, in their order. What is left of K1 on a medium tells nothing of K4 without K2 or a break
    /// of AES-256, whatever the medium does with a hole.
    ///
    /// - Parameter isHole: whether the file system took the blocks back; nil when nothing had reached the file.
    static func steps(isHole: Bool?, reason: Reason) -> [Step] {
        let isLost = reason == .lostBefore
        var steps = [
            Step(
                key: "K4", done: isLost ? "went with the process that held it" : "overwritten in secret memory",
                guarantee: isLost ? .bestEffort : .informationTheoretic),
            Step(key: "K3", done: "never stored: made block by block in registers", guarantee: .informationTheoretic),
            Step(
                key: "K2", done: isLost ? "went with the process that held it" : "overwritten in secret memory",
                guarantee: .computational),
        ]
        if let isHole {
            steps.append(
                Step(
                    key: "K1", done: isHole ? "hole punched, reads as zeros" : "overwritten with zeros",
                    guarantee: .bestEffort))
        }
        return steps
    }
}

/// A node's receipts, a JSON object a line, in `erasures.jsonl`; the file of before is `erasures.jsonl.1`.
///
/// `@unchecked Sendable`: `lock` guards every variable.
final class ErasureLog: @unchecked Sendable {
    static let fileName = "erasures.jsonl"
    /// Bytes at which a new file is begun.
    private static let maximumBytes = 8 << 20
    private let path: String
    private let lock = NSLock()
    private var descriptor: Int32 = -1
    private var size = 0
    private var counts: [ErasureReceipt.Reason: UInt64] = [:]

    init(directory: String) { path = directory + "/" + Self.fileName }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Bytes of pad by reason since the process began.
    var totals: [ErasureReceipt.Reason: UInt64] { lock.withLock { counts } }

    /// What cannot be written is counted all the same: an erasure is never put off for its receipt.
    func write(_ receipt: ErasureReceipt) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        var line = (try? encoder.encode(receipt)) ?? Data()
        line.append(0x0A)
        lock.withLock {
            counts[receipt.reason, default: 0] += receipt.bytes
            if size + line.count > Self.maximumBytes, descriptor >= 0 {
                close(descriptor)
                descriptor = -1
                _ = rename(path, path + ".1")
            }
            if descriptor < 0 {
                descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
                size = max(0, Int(lseek(descriptor, 0, SEEK_END)))
            }
            let written = line.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            size += max(0, written)
        }
    }
}

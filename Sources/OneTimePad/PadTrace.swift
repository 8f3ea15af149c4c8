import Foundation
import Glibc

/// A test aid: with `DSGD_PAD_TRACE=FILE` in the environment, every spend of a sending pad appends one line to the file,
/// before the pad is used, and every record that a receiving pad accepted another: stream (pool, sender, receiver), offset,
/// length, purpose, side, with tabs. Never key bytes.
///
/// The lines of all processes of a bank, across crashes, prove that no byte of pad was used twice: the ranges of a side of
/// a stream may not overlap. Each line is one `write` with O_APPEND, so that processes share the file; SIGKILL may cut a line
/// short, of pad that was not used then, and the next one follows it at once.
struct PadTrace: Sendable {
    static let shared = ProcessInfo.processInfo.environment["DSGD_PAD_TRACE"].flatMap(PadTrace.init)

    private let descriptor: Int32

    private init?(path: String) {
        descriptor = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return nil }
    }

    func write(
        _ stream: PadStream, _ side: LedgerLine.Side, offset: UInt64, count: Int, _ purpose: PadPurpose
    ) {
        let line = "\(stream.pool)\t\(stream.sender)\t\(stream.receiver)\t\(offset)\t\(count)\t\(purpose)"
            + "\t\(side.rawValue)\n"
        var text = line
        let written = text.withUTF8 { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        // A trace with holes would prove nothing.
        precondition(written == line.utf8.count, "the pad trace cannot be written")
    }
}

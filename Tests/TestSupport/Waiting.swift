import Foundation

/// Waits until a condition holds, for a minute at most, and tells whether it does. A machine with other work may starve any
/// thread for seconds, which is no finding.
@discardableResult public func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    let limit = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < limit {
        if try condition() { return true }
        usleep(2_000)
    }
    return try condition()
}

/// The threads of this process whose names begin so. Other tests run in the same process and may have such threads too.
public func threads(named prefix: String) throws -> Set<String> {
    Set(
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").filter {
            (try? String(contentsOfFile: "/proc/self/task/\($0)/comm", encoding: .utf8))?.hasPrefix(prefix) ?? false
        })
}

import Foundation
import Metering

/// The age of pad that waits in a receiver's window of datagrams.
extension ReceivingPad {
    /// Sees to it that pad in the window is erased when it is too old, also when nothing comes any more.
    func watchAge() {
        guard let seconds = windowSeconds, let time = window?.nextExpiry(after: seconds), !isWatched, !closed else {
            return
        }
        isWatched = true
        call(at: time) { [weak self] in self?.expire() }
    }

    private func expire() {
        lock.withLock {
            isWatched = false
            guard let seconds = windowSeconds, window != nil, !closed else { return }
            window!.expire(after: seconds)
            giveUpGaps(below: window!.low)
            watchAge()
        }
        tellSource()
    }

    /// The sender may have taken its copy a lifetime after this end took its own, and spend it for another.
    private var windowSeconds: Double? { options.lifetime.map { 2 * $0 + min($0, 60) } }
}

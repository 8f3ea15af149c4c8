import Foundation

/// Which keys were laid along the streams of two roles, as far as it is remembered. A key server that gave one of them
/// again would have the same key lie in two places, and two texts be encrypted with it.
struct KnownKeys {
    private static let most = 1 << 17
    private var identifiers: Set<UUID> = []
    /// The same in the order in which they came; a new one takes the place of the oldest, at `next`.
    private var order: [UUID] = []
    private var next = 0

    /// False, and nothing is added, when one of them is known, is there twice or is no UUID.
    mutating func add(_ texts: [String]) -> Bool {
        let new = texts.compactMap { UUID(uuidString: $0) }
        guard new.count == texts.count, Set(new).count == new.count, identifiers.isDisjoint(with: new) else {
            return false
        }
        for identifier in new {
            if order.count < Self.most {
                order.append(identifier)
            } else {
                identifiers.remove(order[next])
                order[next] = identifier
                next = (next + 1) % Self.most
            }
            identifiers.insert(identifier)
        }
        return true
    }
}

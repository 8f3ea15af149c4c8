import Diagnostics
import Randomness
import SecretSharing
import TestSupport

/// An object, its three shares as byte strings, and the tags.
struct Fixture {
    var object: [UInt8]
    var shares: [ShareIndex: [UInt8]] = [:]
    var tags: ShareTags
    var description: ShareSetDescription

    static let objectID = Identifier(high: 0x0123_4567_89ab_cdef, low: 42)

    init(length: Int, blockSize: Int = 64, seed: UInt64 = 1, objectID: Identifier = Fixture.objectID) throws {
        var random = SplitMix64(seed: seed &+ 1000)
        object = random.bytes(length)
        var collected: [ShareIndex: [UInt8]] = [.a: [], .b: [], .c: []]
        let splitter = try ShareSplitter(
            objectID: objectID, length: length, blockSize: blockSize, random: SeededRandomSource(seed: seed)
        ) { index, bytes in collected[index]?.append(contentsOf: bytes) }
        var at = 0
        while at < length {
            let piece = Int.random(in: 1...min(100, length - at), using: &random)
            try object[at..<at + piece].withUnsafeBytes { try splitter.append($0) }
            at += piece
        }
        description = try splitter.finish()
        tags = splitter.tags
        shares = collected
    }

    static let pairs: [(ShareIndex, ShareIndex)] = [(.a, .b), (.b, .a), (.a, .c), (.c, .a), (.b, .c), (.c, .b)]
}

/// Joins two byte strings, fed in pieces of random size from either side, and gives what was delivered and the error.
func join(
    _ first: [UInt8], _ second: [UInt8], tags: ShareTags?, seed: UInt64 = 7
) -> (delivered: [UInt8], failure: Failure?) {
    var random = SplitMix64(seed: seed)
    var delivered: [UInt8] = []
    let joiner = ShareJoiner(first: "first", second: "second", tags: tags) { delivered.append(contentsOf: $0) }
    var rest: [ArraySlice<UInt8>] = [first[...], second[...]]
    var stalled = [false, false]
    do {
        while !(rest[0].isEmpty || stalled[0]) || !(rest[1].isEmpty || stalled[1]) {
            let side = Int.random(in: 0...1, using: &random)
            if rest[side].isEmpty { stalled[side] = true; continue }
            let piece = rest[side].prefix(Int.random(in: 1...150, using: &random))
            let taken = try piece.withUnsafeBytes { try joiner.append($0, from: side == 0 ? .first : .second) }
            rest[side] = rest[side].dropFirst(taken)
            stalled[side] = taken == 0
            if taken > 0 { stalled[1 - side] = false }
        }
        try joiner.finish()
        return (delivered, nil)
    } catch {
        return (delivered, error as? Failure)
    }
}

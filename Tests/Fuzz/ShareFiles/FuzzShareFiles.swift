import Diagnostics
import FuzzSupport
import Randomness
import SecretSharing
import TestSupport

/// Share headers, blocks and tag files. The first byte of an input says what its rest is, the second the size of the
/// pieces in which it arrives.
private enum Kind: UInt8, CaseIterable {
    case header, tags
    /// A share to be joined with a genuine one under the owner's tags: only the object may come of it.
    case shareUnderTags
    /// Two shares, of equal length, without tags.
    case twoShares
}

private struct Genuine {
    static let objectID = Identifier(high: 1, low: 2)
    let object: [UInt8] = (0..<333).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let shares: [[UInt8]]
    let tags: ShareTags

    init() {
        var shares: [[UInt8]] = [[], [], []]
        let random = SeededRandomSource(seed: 1)
        let splitter = try! ShareSplitter(
            objectID: Self.objectID, length: object.count, blockSize: 64, random: random
        ) { index, bytes in shares[Int(index.rawValue) - 1].append(contentsOf: bytes) }
        try! object.withUnsafeBytes { try splitter.append($0) }
        _ = try! splitter.finish()
        tags = splitter.tags
        self.shares = shares
    }
}

private let genuine = Genuine()

/// Feeds both sides in turn until neither takes anything more.
private func join(
    _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, tags: ShareTags?, piece: Int
) throws -> [UInt8] {
    var delivered: [UInt8] = []
    let joiner = ShareJoiner(first: "first", second: "second", tags: tags) { delivered.append(contentsOf: $0) }
    var rests = [first[...], second[...]]
    var taken = 1
    while taken > 0 {
        taken = 0
        for (number, side) in [ShareJoiner.Side.first, .second].enumerated() {
            let now = try joiner.append(UnsafeRawBufferPointer(rebasing: rests[number].prefix(piece)), from: side)
            rests[number] = rests[number].dropFirst(now)
            taken += now
        }
    }
    try joiner.finish()
    return delivered
}

@_cdecl("LLVMFuzzerInitialize") public func initialize(
    _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutableRawPointer
) -> Int32 {
    func seed(_ kind: Kind, piece: UInt8, _ bytes: [UInt8]) -> [UInt8] { [kind.rawValue, piece] + bytes }
    var seeds = [
        seed(.header, piece: 0, Array(genuine.shares[0].prefix(ShareHeader.size))),
        seed(.tags, piece: 0, genuine.tags.withUnsafeBytes { Array($0) }),
        seed(.twoShares, piece: 200, genuine.shares[2] + genuine.shares[0]),
    ]
    for share in genuine.shares { seeds.append(seed(.shareUnderTags, piece: 50, share)) }
    writeSeeds(seeds)
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput") public func test(_ start: UnsafeRawPointer, _ count: Int) -> Int32 {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    guard count >= 2, let kind = Kind(rawValue: input[0] % UInt8(Kind.allCases.count)) else { return -1 }
    let piece = Int(input[1]) + 1
    let rest = UnsafeRawBufferPointer(rebasing: input[2...])
    switch kind {
    case .header:
        _ = outcome { try ShareHeader(reading: rest, place: "fuzz") }
    case .tags:
        guard let tags = outcome({ try ShareTags(reading: rest, place: "fuzz") }) else { return 0 }
        require(tags.withUnsafeBytes { $0.elementsEqual(rest) }, "a tag file was accepted and changed")
    case .shareUnderTags:
        genuine.shares[1].withUnsafeBytes { b in
            guard let joined = outcome({ try join(rest, b, tags: genuine.tags, piece: piece) }) else { return }
            require(joined == genuine.object, "a forged share was accepted")
        }
    case .twoShares:
        let half = rest.count / 2
        _ = outcome {
            try join(
                UnsafeRawBufferPointer(rebasing: rest[..<half]), UnsafeRawBufferPointer(rebasing: rest[half...]),
                tags: nil, piece: piece)
        }
    }
    return 0
}

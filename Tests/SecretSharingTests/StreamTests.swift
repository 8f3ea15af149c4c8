import Diagnostics
import SecretSharing
import TestSupport
import Testing

@Suite struct StreamTests {
    @Test(arguments: [0, 1, 2, 3, 31, 63, 64, 65, 127, 128, 129, 1000, 4096, 4097])
    func anyTwoSharesGiveTheObject(length: Int) throws {
        let fixture = try Fixture(length: length)
        for (x, y) in Fixture.pairs {
            for tags in [fixture.tags, nil] {
                let result = join(fixture.shares[x]!, fixture.shares[y]!, tags: tags)
                #expect(result.failure == nil)
                #expect(result.delivered == fixture.object, "\(x), \(y)")
            }
        }
        for share in fixture.shares.values { #expect(share.count == fixture.description.fileSize) }
    }

    @Test func randomSizesAndBlocks() throws {
        var random = SplitMix64(seed: 20)
        for round in 0..<150 {
            let fixture = try Fixture(
                length: Int.random(in: 0...5000, using: &random),
                blockSize: 32 * Int.random(in: 1...40, using: &random),
                seed: UInt64(round))
            let (x, y) = Fixture.pairs.randomElement(using: &random)!
            let result = join(fixture.shares[x]!, fixture.shares[y]!, tags: fixture.tags, seed: UInt64(round))
            #expect(result.failure == nil && result.delivered == fixture.object)
        }
    }

    /// Whatever byte of a share is changed, the share and the block are named, and no byte of that block is delivered.
    @Test func everyAlteredByteIsNamed() throws {
        let fixture = try Fixture(length: 150)
        for (x, y) in [(ShareIndex.a, ShareIndex.b), (.b, .c), (.c, .a)] {
            for place in fixture.shares[x]!.indices {
                var bad = fixture.shares[x]!
                bad[place] ^= 0x10
                let result = join(bad, fixture.shares[y]!, tags: fixture.tags, seed: UInt64(place))
                let failure = try #require(result.failure, "byte \(place) of \(x)")
                #expect(failure.kind == .data)
                #expect(failure.place.hasPrefix("first"))
                if place < 128 {
                    #expect(result.delivered.isEmpty)
                } else {
                    let block = (place - 128) / 80
                    #expect(failure.place == "first:share \(x), block \(block)")
                    #expect(result.delivered.elementsEqual(fixture.object.prefix(block * 64)))
                }
            }
        }
    }

    @Test func truncationIsNoticedEverywhere() throws {
        let fixture = try Fixture(length: 150)
        let whole = fixture.shares[.a]!
        for tags in [fixture.tags, nil] {
            for length in 0..<whole.count {
                let result = join(Array(whole[..<length]), fixture.shares[.c]!, tags: tags)
                let failure = try #require(result.failure, "cut at \(length)")
                if length >= 128 { #expect(failure.place == "first:share A, block \((length - 128) / 80)") }
            }
        }
        #expect(join(whole + [0], fixture.shares[.c]!, tags: nil).failure != nil)
    }

    /// A file cut at a block border whose header is made to fit still fails: the header has a tag, and so does the
    /// length in every block.
    @Test func shorterLengthInTheHeaderIsNoticed() throws {
        let fixture = try Fixture(length: 192)
        var cut = Array(fixture.shares[.a]![..<(128 + 2 * 80)])
        cut[48] = 128
        #expect(join(cut, fixture.shares[.b]!, tags: fixture.tags).failure != nil)
        #expect(join(cut, fixture.shares[.b]!, tags: nil).failure?.problem.contains("disagree") == true)
    }

    @Test func swappedBlocksAreNoticed() throws {
        let fixture = try Fixture(length: 192)
        let share = fixture.shares[.a]!
        let swapped = share[..<128] + share[208..<288] + share[128..<208] + share[288...]
        #expect(
            join(Array(swapped), fixture.shares[.b]!, tags: fixture.tags).failure?.place == "first:share A, block 0")
    }

    @Test func sharesThatDoNotBelongTogether() throws {
        let fixture = try Fixture(length: 100)
        let otherSet = try Fixture(length: 100, seed: 2)
        let otherObject = try Fixture(length: 100, seed: 1, objectID: Identifier(high: 1, low: 2))
        let a = fixture.shares[.a]!
        #expect(join(a, otherSet.shares[.b]!, tags: nil).failure?.problem.contains("different share sets") == true)
        #expect(join(a, otherObject.shares[.b]!, tags: nil).failure?.problem.contains("different objects") == true)
        #expect(join(a, a, tags: nil).failure?.problem.contains("both are share A") == true)
        #expect(join(a, fixture.shares[.b]!, tags: otherSet.tags).failure?.problem.contains("share set") == true)
        #expect(join(a, a.map { _ in 0 }, tags: nil).failure?.problem.contains("not a share file") == true)
        // A holder that renames its share gets no further than its header.
        var renamed = fixture.shares[.b]!
        renamed[13] = 3
        #expect(join(a, renamed, tags: fixture.tags).failure?.place == "second:share C, header")
    }

    @Test func headersOfOtherFormats() throws {
        let fixture = try Fixture(length: 100)
        for (place, value) in [
            (8, 2), (10, 2), (11, 3), (12, 4), (13, 0), (13, 4), (15, 2), (60, 0), (64, 1), (55, 0x7f), (56, 1),
        ] {
            var bad = fixture.shares[.a]!
            bad[place] = UInt8(value)
            #expect(join(bad, fixture.shares[.b]!, tags: nil).failure?.kind == .data, "byte \(place)")
        }
    }

    @Test func objectOfAnotherLengthThanAnnounced() throws {
        let random = SeededRandomSource(seed: 3)
        let splitter = try ShareSplitter(objectID: Fixture.objectID, length: 10, random: random) { _, _ in }
        try [UInt8](repeating: 1, count: 9).withUnsafeBytes { try splitter.append($0) }
        #expect(throws: Failure.self) { try splitter.finish() }
        let longer = try ShareSplitter(objectID: Fixture.objectID, length: 10, random: random) { _, _ in }
        #expect(throws: Failure.self) { try [UInt8](repeating: 1, count: 11).withUnsafeBytes { try longer.append($0) } }
        for blockSize in [0, -32, 33, 48, 128 << 20] {
            #expect(throws: Failure.self) {
                try ShareSplitter(objectID: Fixture.objectID, length: 10, blockSize: blockSize, random: random) {
                    _, _ in
                }
            }
        }
    }

    @Test func tagBlobSurvivesAndBadOnesAreRefused() throws {
        let fixture = try Fixture(length: 150)
        let blob = fixture.tags.withUnsafeBytes { Array($0) }
        #expect(blob.count == 64 + 3 * 5 * 16)
        let again = try blob.withUnsafeBytes { try ShareTags(reading: $0, place: "tags") }
        #expect(join(fixture.shares[.a]!, fixture.shares[.b]!, tags: again).delivered == fixture.object)
        func refused(_ bytes: [UInt8]) -> Bool {
            (try? bytes.withUnsafeBytes { try ShareTags(reading: $0, place: "tags") }) == nil
        }
        for length in 0..<blob.count { #expect(refused(Array(blob[..<length]))) }
        #expect(refused(blob + [0]))
        for place in [0, 8, 10, 11, 55, 56, 60] {
            var bad = blob
            bad[place] ^= 0x11
            #expect(refused(bad), "byte \(place)")
        }
    }

    /// One share says nothing: with the same object, C does not depend on it, and A and B change in every run.
    @Test func freshRandomnessForEverySplit() throws {
        let one = try Fixture(length: 500, seed: 5)
        let two = try Fixture(length: 500, seed: 6)
        for index in ShareIndex.allCases { #expect(one.shares[index]! != two.shares[index]!) }
        #expect(one.description.set != two.description.set)
    }
}

import Compression
import Filtering
import GenomicFormats
import TestSupport
import Testing

/// The filter gives what the tables say, for records of every kind that lie close to borders.
@Suite struct PropertyTests {
    private static let header = """
        ##fileformat=VCFv4.2
        ##INFO=<ID=END,Number=1,Type=Integer,Description="End">
        ##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="Length">
        ##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">
        ##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
        ##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">
        ##contig=<ID=1,length=1000000>
        ##contig=<ID=2,length=1000000>
        #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts

        """

    private struct Scene {
        var records: [SlowFilter.Record] = []
        var regions: [String: [Range<Int>]] = [:]
        var text: [UInt8] = []
    }

    /// - Parameter span: bases over which the records of a contig lie, so that some three lie on each base or few do.
    private static func scene(_ count: Int, span: Int, _ random: inout SplitMix64) -> Scene {
        func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
        func bases() -> String { String((0...below(5)).map { _ in "AC".randomElement(using: &random)! }) }
        var scene = Scene()
        for contig in ["1", "2"] {
            for position in (0..<count / 2).map({ _ in 2 + below(span) }).sorted() {
                let other = contig == "1" ? "2" : "1"
                var alternatives = [bases()]
                var info: [(String, String)] = []
                switch below(14) {
                case 0: alternatives = ["<NON_REF>"]
                case 1: alternatives = ["."]
                case 2: alternatives = ["*"]
                case 3: alternatives += ["*"]
                case 4: alternatives += [bases(), "<*>"]
                case 5:
                    alternatives = ["<DEL>"]
                    if below(2) == 0 { info.append(("SVLEN", "-\(below(30))")) }
                case 6: alternatives = ["<DUP>", bases()]
                case 7: alternatives = ["A[\(below(2) == 0 ? contig : other):\(1 + below(span))["]
                case 8: alternatives = ["?"]
                default: if below(3) == 0 { alternatives.append(bases()) }
                }
                let isEndKnown = alternatives[0] == "<NON_REF>" || below(5) == 0
                if isEndKnown { info.append(("END", "\(position + below(40))")) }
                if below(2) == 0 { info.append(("DP", "\(below(90))")) }
                let isBlock = alternatives == ["<NON_REF>"] && below(4) > 0
                scene.records.append(
                    SlowFilter.Record(
                        contig: contig, position: position, reference: isBlock ? "G" : bases(),
                        alternatives: alternatives, info: info))
            }
            var at = 0
            while at < span {
                // Zero bases between regions: those two are one.
                at += below(4) == 0 ? 0 : below(50)
                let end = at + 1 + below(40)
                scene.regions[contig, default: []].append(at..<end)
                at = end
            }
        }
        scene.text = Array((header + scene.records.map { $0.line + "\n" }.joined()).utf8)
        return scene
    }

    private static func body(_ bytes: [UInt8]) -> [Substring] {
        String(decoding: bytes, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") }
    }

    /// The first line in which two answers differ, as a message that fits a screen.
    private static func difference(_ own: [Substring], _ slow: [String]) -> String? {
        for (one, other) in zip(own, slow) where one != other { return "\(one) for \(other)" }
        return own.count == slow.count ? nil : "\(own.count) lines for \(slow.count)"
    }

    @Test(arguments: [OverlapRule.position, .record, .variant, .within])
    func smallFiles(rule: OverlapRule) throws {
        var random = SplitMix64(seed: 31)
        for round in 0..<20 {
            let scene = Self.scene(400, span: round % 2 == 0 ? 150 : 1_500, &random)
            let expected = SlowFilter(scene.regions).filter(scene.records, .init(rawValue: rule.rawValue)!)
            let filter = VCFFilter(selection: .regions(RegionSet(scene.regions)), overlap: rule)
            let own = try scene.text.withUnsafeBytes { try filter.filter($0, label: "x") }
            #expect(Self.difference(Self.body(own.bytes), expected) == nil, "\(rule), round \(round)")
            #expect(own.counts.recordsIn == scene.records.count && own.counts.recordsOut == expected.count)
            #expect(expected.count > 20 && own.counts.withheld > 20)
        }
    }

    /// Lines and reference blocks that lie across groups of blocks, on one thread and several.
    @Test(arguments: [OverlapRule.variant, .within]) func manyGroups(rule: OverlapRule) throws {
        var random = SplitMix64(seed: 32)
        let scene = Self.scene(60_000, span: 30_000, &random)
        let expected = SlowFilter(scene.regions).filter(scene.records, .init(rawValue: rule.rawValue)!)
        let filter = VCFFilter(selection: .regions(RegionSet(scene.regions)), overlap: rule)
        let input = scene.text.withUnsafeBytes { BGZF.compress($0, level: .fast).bytes }
        #expect(scene.text.count > 4 * 8 * 65_536)
        let outputs = try [1, 3].map { threads in
            try input.withUnsafeBytes { try filter.run($0, label: "x", level: .fast, threads: threads) }
        }
        #expect(outputs[0].vcfGz == outputs[1].vcfGz && outputs[0].tbi == outputs[1].tbi)
        let plain = try outputs[0].vcfGz.withUnsafeBytes { try GzipInflater.inflate($0, label: "own") }
        #expect(Self.difference(Self.body(plain), expected) == nil)
    }
}

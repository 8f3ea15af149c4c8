import Compression
import Diagnostics
import GenomicFormats
import Simulation
import Storage
import TestSupport
import Testing

@Suite struct CallSetTests {
    private func text(_ simulator: CallSetSimulator) throws -> [UInt8] {
        let directory = try TemporaryDirectory()
        try simulator.write(to: directory.file("c.vcf"))
        return try directory.read("c.vcf")
    }

    /// Figures of different versions are comparable only when the call set is the same.
    @Test func theSameBytesForEver() throws {
        let text = try text(CallSetSimulator(records: 10_000))
        let hash = text.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        #expect(text.count == 1_399_437 && hash == 12_656_068_456_380_545_422)
        #expect(try text != self.text(CallSetSimulator(records: 10_000, seed: 2)))
    }

    @Test(arguments: [false, true]) func recordsAreSoundAndIndexed(hasBlocks: Bool) throws {
        let directory = try TemporaryDirectory()
        var simulator = CallSetSimulator(records: 5_000)
        simulator.hasBlocks = hasBlocks
        var files: [[UInt8]] = []
        var variants = 0
        for threads in [1, 3] {
            simulator.threads = threads
            try simulator.write(to: directory.file("c.vcf.gz")) { _, _ in variants += 1 }
            files.append(try directory.read("c.vcf.gz"))
        }
        #expect(files[0] == files[1] && variants == 10_000)
        #expect(try directory.entries() == ["c.vcf.gz", "c.vcf.gz.tbi"])
        let text = try files[0].withUnsafeBytes { try GzipInflater.inflate($0, label: "c") }
        #expect(try text == self.text(simulator))
        try text.withUnsafeBytes { all in
            let end = try #require(VCFHeader.byteCount(in: all))
            let header = try VCFHeader(parsing: UnsafeRawBufferPointer(rebasing: all[..<end]), label: "c")
            var scanner = VCFRecordScanner(header: header, label: "c")
            for line in all[end...].split(separator: 10) {
                try scanner.checkGenotypes(of: scanner.scan(UnsafeRawBufferPointer(rebasing: line)))
            }
            #expect(scanner.isSorted && scanner.recordCount == (hasBlocks ? 10_000 : 5_000))
        }
        let region = "chr7:50000000-120000000"
        guard let query = run("bcftools", ["view", "-H", "-r", region, directory.file("c.vcf.gz")]),
            let scan = run("bcftools", ["view", "-H", "-t", region, "--targets-overlap", "1", directory.file("c.vcf.gz")])
        else { return }
        #expect(query.status == 0 && query.output == scan.output && !query.output.isEmpty)
    }

    @Test func smallest() throws {
        #expect(try text(CallSetSimulator(records: 0)).last == 10)
        #expect(failure { _ = try self.text(CallSetSimulator(records: -1)) }?.kind == .usage)
        #expect(failure { _ = try self.text(CallSetSimulator(records: 300_000_000)) }?.kind == .usage)
    }
}

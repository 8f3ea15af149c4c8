internal import BenchmarkSupport
internal import Compression
internal import Foundation

/// Gzip and BGZF of FASTQ and of VCF text, the shipped path beside each library on the same bytes, samples taken in
/// turn so that all meet the same machine. GB/s count plain bytes; CRC32 is in all of them. Rows with the unit `ratio`
/// compare with bgzip's default (`.size`, `.speed` of deflate), libdeflate (`.speed` of bgzf.inflate) or zlib (`.speed`
/// of gzip.inflate), by the best samples.
struct CompressionBenchmarks {
    let measure: Measure
    let threads: Int

    func run(_ add: (BenchmarkResult) -> Void) {
        for text in [BenchmarkText.fastq, BenchmarkText.vcf] {
            deflate(text, add)
            for level in CompressionLevel.allCases { inflateBlocks(text, level, add) }
            inflateStream(text, add)
        }
    }

    private func deflate(_ text: BenchmarkText, _ add: (BenchmarkResult) -> Void) {
        let compact = BGZFBlockDeflater(.compact), fast = BGZFBlockDeflater(.fast)
        let bgzip = LibdeflatePeer(level: 7), one = LibdeflatePeer(level: 1), isal = ISALPeer()
        typealias Way = (
            name: String, variant: String, deflate: (UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer) -> Int
        )
        let ways: [Way] = [
            ("bgzf.deflate.default", "bgzip", { bgzip.deflate($0, into: $1) }),
            ("bgzf.deflate.compact", "dsgd", { compact.deflate($0, into: $1) }),
            ("bgzf.deflate.fast", "dsgd", { fast.deflate($0, into: $1) }),
            ("bgzf.deflate.fast", "libdeflate1", { one.deflate($0, into: $1) }),
            ("bgzf.deflate.fast", "isal1", { isal.deflate($0, into: $1) }),
        ]
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: BGZF.maximumBlockSize, alignment: 64)
        defer { room.deallocate() }
        let rates = measure.rates(
            bytes: text.bytes.count, ways.map { way in { text.forEachBlock { _ = way.deflate($0, room) } } })
        let sizes = ways.map { way in
            var size = 0
            text.forEachBlock { size += way.deflate($0, room) }
            return size
        }
        for (way, rate) in zip(ways, rates) { add(row(way.name, way.variant, text, (rate.value, rate.spread))) }
        for (index, way) in ways.enumerated().dropFirst() {
            add(row(way.name + ".size", way.variant, text, (Double(sizes[index]) / Double(sizes[0]), 0), unit: "ratio"))
            add(row(way.name + ".speed", way.variant, text, (rates[index].best / rates[0].best, 0), unit: "ratio"))
        }
        if threads > 1 {
            let all = text.bytes
            for level in CompressionLevel.allCases {
                let rate = measure.rate(bytes: all.count) {
                    _ = all.withUnsafeBytes { BGZF.compress($0, level: level, threads: threads) }
                }
                add(row("bgzf.deflate.\(level)", "dsgd", text, rate, threads: threads))
            }
        }
    }

    private func inflateBlocks(_ text: BenchmarkText, _ level: CompressionLevel, _ add: (BenchmarkResult) -> Void) {
        let blocks = text.bytes.withUnsafeBytes { BGZF.compress($0, level: level) }
        let name = "bgzf.inflate.\(level)"
        let ours = BGZFBlockInflater(), libdeflate = LibdeflatePeer(level: 1), isal = ISALPeer(), zlib = ZlibPeer()
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: BGZF.maximumBlockSize, alignment: 64)
        defer { room.deallocate() }
        func each(_ body: (UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer) -> Void) {
            blocks.bytes.withUnsafeBytes { bytes in
                for (start, end) in zip(blocks.blockStarts, blocks.blockStarts.dropFirst()) {
                    let block = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
                    let plain = block.loadUnaligned(fromByteOffset: block.count - 4, as: UInt32.self)
                    body(block, UnsafeMutableRawBufferPointer(rebasing: room[0..<Int(UInt32(littleEndian: plain))]))
                }
            }
        }
        let rates = measure.rates(
            bytes: text.bytes.count,
            [
                {
                    each { block, plain in
                        do { try ours.inflate(block, into: plain, label: "benchmark", offset: 0) } catch {
                            preconditionFailure("\(error)")
                        }
                    }
                },
                { each { libdeflate.inflate($0, into: $1) } },
                { each { isal.inflate($0, into: $1) } },
                { each { zlib.inflate($0, into: $1) } },
            ])
        for (variant, rate) in zip(["dsgd", "libdeflate", "isal", "zlib"], rates) {
            add(row(name, variant, text, (rate.value, rate.spread)))
        }
        add(row(name + ".speed", "dsgd", text, (rates[0].best / rates[1].best, 0), unit: "ratio"))
        if threads > 1 {
            let rate = measure.rate(bytes: text.bytes.count) { inflate(blocks.bytes, threads: threads) }
            add(row(name, "dsgd", text, rate, threads: threads))
        }
    }

    private func inflateStream(_ text: BenchmarkText, _ add: (BenchmarkResult) -> Void) {
        let zlib = ZlibPeer()
        let member = zlib.gzip(text.bytes)
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 64)
        defer { room.deallocate() }
        let rates = measure.rates(
            bytes: text.bytes.count,
            [
                { inflate(member, threads: 1) }, { member.withUnsafeBytes { zlib.inflate($0, through: room) } },
            ])
        for (variant, rate) in zip(["dsgd", "zlib"], rates) {
            add(row("gzip.inflate", variant, text, (rate.value, rate.spread)))
        }
        add(row("gzip.inflate.speed", "dsgd", text, (rates[0].best / rates[1].best, 0), unit: "ratio"))
    }

    /// As a reader of files does it: in pieces of 1 MiB, given out as they come.
    private func inflate(_ file: [UInt8], threads: Int) {
        let inflater = GzipInflater(label: "benchmark", threads: threads)
        do {
            try file.withUnsafeBytes { bytes in
                for start in stride(from: 0, to: bytes.count, by: 1 << 20) {
                    try inflater.feed(UnsafeRawBufferPointer(rebasing: bytes[start...].prefix(1 << 20))) { _ in }
                }
            }
            try inflater.finish { _ in }
        } catch {
            preconditionFailure("what was just made is damaged: \(error)")
        }
    }

    private func row(
        _ name: String, _ variant: String, _ text: BenchmarkText, _ rate: (value: Double, spread: Double),
        threads: Int = 1, unit: String = "GB/s"
    ) -> BenchmarkResult {
        BenchmarkResult(
            name: name, variant: variant, threads: threads, place: text.name, value: rate.value, unit: unit,
            spread: rate.spread)
    }
}

/// Text of the kind that the banks carry, made afresh, so that no person's data is needed.
struct BenchmarkText {
    let name: String
    let bytes: [UInt8]

    func forEachBlock(_ body: (UnsafeRawBufferPointer) -> Void) {
        bytes.withUnsafeBytes { bytes in
            for start in stride(from: 0, to: bytes.count, by: BGZF.blockPayload) {
                body(UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + BGZF.blockPayload, bytes.count)]))
            }
        }
    }

    /// Reads of 150 bases of a genome of 200 kb at some 13-fold coverage; qualities in four steps, in runs, falling
    /// towards the end of a read, as today's sequencers write them.
    static let fastq: BenchmarkText = {
        var random = Generator(state: 17)
        let genome = (0..<200_000).map { _ in Array("ACGT".utf8)[Int(random.next(4))] }
        var out: [UInt8] = []
        var tile = 1_101
        for read in 0..<9_000 {
            if random.next(40) == 0 { tile += 1 }
            let (x, y) = (1_000 + random.next(31_000), 1_000 + read * 4 + Int(random.next(40)))
            out += "@A00744:46:HV3C3DSXX:2:\(tile):\(x):\(y)\n".utf8
            let start = Int(random.next(UInt64(genome.count - 150)))
            out += genome[start..<start + 150]
            out += "\n+\n".utf8
            var quality = 3
            for place in 0..<150 {
                let turn = random.next(UInt64(place < 100 ? 20 : 8))
                if turn == 0 { quality = Int(random.next(4)) } else if turn < 4 { quality = 3 }
                out.append(Array("#,:F".utf8)[quality])
            }
            out.append(10)
        }
        return BenchmarkText(name: "fastq", bytes: out)
    }()

    /// Records of one sample with the fields that the caller writes.
    static let vcf: BenchmarkText = {
        var random = Generator(state: 18)
        var out: [UInt8] = []
        var position = 10_000
        for _ in 0..<30_000 {
            position += 1 + Int(random.next(1_000))
            let reference = Array("ACGT")[Int(random.next(4))]
            var alternative = String(Array("ACGT")[Int(random.next(4))])
            if random.next(8) == 0 {
                let inserted = (0...random.next(8)).map { _ in Array("ACGT")[Int(random.next(4))] }
                alternative = String(reference) + String(inserted)
            }
            let depth = 30 + Int(random.next(30))
            let isHomozygous = random.next(3) == 0
            let supporting = isHomozygous ? depth : depth / 2 - 4 + Int(random.next(9))
            let quality = supporting * 29 + Int(random.next(20))
            let mapping = random.next(5) == 0 ? 40 + Int(random.next(20)) : 60
            let likelihoods =
                isHomozygous ? "\(quality + 31),\(depth * 3),0" : "\(quality + 29),0,\((depth - supporting) * 33)"
            let confidence = isHomozygous || random.next(10) > 0 ? 99 : 20 + Int(random.next(79))
            out += "chr20\t\(position)\t.\t\(reference)\t\(alternative)\t".utf8
            out += "\(quality).\(10 + random.next(90))\tPASS\t".utf8
            out += "DP=\(depth);MQ=\(mapping).0;FS=\(random.next(9)).\(random.next(10))\tGT:AD:DP:GQ:PL\t".utf8
            out += "\(isHomozygous ? "1/1" : "0/1"):\(depth - supporting),\(supporting):".utf8
            out += "\(depth):\(confidence):\(likelihoods)\n".utf8
        }
        return BenchmarkText(name: "vcf", bytes: out)
    }()

    /// SplitMix64.
    private struct Generator {
        var state: UInt64

        mutating func next(_ bound: UInt64) -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
            return (z ^ z >> 31) % bound
        }
    }
}

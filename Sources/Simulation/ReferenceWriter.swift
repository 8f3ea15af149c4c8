import Compression
public import GenomicFormats

/// Writes a genome as FASTA with lines of 80 bases.
public enum ReferenceWriter {
    private static let lineLength = 80
    private static let pieceLength = 80 << 14

    /// - Parameter path: BGZF when it ends in `.gz`, plain otherwise.
    /// - Throws: `Failure` `.cannotCreate` or `.inputOutput`.
    public static func write(_ genome: ReferenceGenome, to path: String, threads: Int = 1) throws {
        var pieces: [(contig: Int, start: Int)] = []
        for (index, contig) in genome.contigs.enumerated() {
            for start in stride(from: 0, to: contig.length, by: pieceLength) { pieces.append((index, start)) }
        }
        let plan = pieces
        let file = try PieceFiles(paths: [path], level: .compact, threads: threads)
        let capacity = pieceLength / lineLength * (lineLength + 1) + 1_024
        try file.write(pieces: plan.count, capacity: capacity) { piece, texts in
            let contig = genome.contigs[plan[piece].contig]
            let start = plan[piece].start
            if start == 0 {
                texts[0].append(UInt8(ascii: ">"))
                texts[0].append(Array(contig.name.utf8))
                texts[0].append(UInt8(ascii: "\n"))
            }
            contig.bases.withUnsafeBufferPointer { bases in
                for line in stride(from: start, to: min(start + pieceLength, bases.count), by: lineLength) {
                    let count = min(lineLength, bases.count - line)
                    let out = texts[0].extend(by: count + 1)
                    for place in 0..<count { out[place] = BaseCode.letter(bases[line + place]) }
                    out[count] = UInt8(ascii: "\n")
                }
            }
        }
        try file.commit()
    }
}

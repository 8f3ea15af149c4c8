import Compression
import Diagnostics
import Glibc
import Storage

/// Reads a reference genome from FASTA: plain, gzip or BGZF; upper and lower case; IUPAC codes become N.
public enum FASTAReader {
    /// - Throws: ``Failure`` `.noInput` or `.data`: not FASTA, a contig twice, a contig without sequence, a character
    ///   that is no base, a damaged or truncated file.
    public static func read(_ path: String) throws -> ReferenceGenome {
        let inflater = GzipInflater(label: path)
        let parser = FASTAParser(label: path)
        try FileReader.forEachPiece(of: path) { chunk in
            try inflater.feed(chunk) { try parser.feed($0) }
        }
        try inflater.finish { try parser.feed($0) }
        return try parser.finish()
    }
}

/// FASTA pushed in pieces of any size.
public final class FASTAParser {
    public let label: String
    private var contigs: [ReferenceGenome.Contig] = []
    private var names: Set<String> = []
    private var name: String?
    private var bases: [UInt8] = []
    private var header: [UInt8] = []
    private var isInHeader = false
    private var isAtLineStart = true
    private var lineNumber = 1

    private static let codes: [UInt8] = {
        var table = [UInt8](repeating: 0x80, count: 256)
        for letter in "ACGTUNRYSWKMBDHVXacgtunryswkmbdhvx*-".utf8 {
            table[Int(letter)] = BaseCode.ofASCII[Int(letter)]
        }
        return table
    }()

    public init(label: String) { self.label = label }

    public func feed(_ bytes: UnsafeRawBufferPointer) throws {
        guard let base = bytes.baseAddress else { return }
        var at = 0
        while at < bytes.count {
            if isAtLineStart && !isInHeader && bytes[at] == UInt8(ascii: ">") {
                try closeContig()
                isInHeader = true
                header.removeAll(keepingCapacity: true)
                at += 1
            }
            let end = memchr(base + at, 10, bytes.count - at).map { UnsafeRawPointer($0) - base }
            let line = bytes[at..<(end ?? bytes.count)]
            if isInHeader {
                header.append(contentsOf: line)
                if header.count > 1 << 16 { throw failure("header line is longer than 64 KiB", "check the file") }
            } else {
                try append(UnsafeRawBufferPointer(rebasing: line))
            }
            guard let end else {
                if !line.isEmpty { isAtLineStart = false }
                return
            }
            if isInHeader { try openContig() }
            isInHeader = false
            isAtLineStart = true
            lineNumber += 1
            at = end + 1
        }
    }

    public func finish() throws -> ReferenceGenome {
        if isInHeader { try openContig() }
        try closeContig()
        guard !contigs.isEmpty else { throw failure("holds no sequence", "give a FASTA file") }
        guard contigs.contains(where: { $0.bases.contains { $0 < 4 } }) else {
            throw failure("holds no base but N", "give a reference with sequence")
        }
        return ReferenceGenome(contigs: contigs)
    }

    private func failure(_ problem: String, _ remedy: String) -> Failure {
        Failure(.data, at: "\(label):line \(lineNumber)", problem, remedy: remedy)
    }

    private func openContig() throws {
        let word = header.prefix { $0 != 32 && $0 != 9 && $0 != 13 }
        let name = String(decoding: word, as: UTF8.self)
        guard !name.isEmpty else { throw failure("contig has no name", "write a name after '>'") }
        // A sequence that lost its line end is no name, and is not to be printed.
        guard word.count <= 255, Self.isName(word) else {
            throw failure("contig's name is too long or holds characters that SAM does not allow", "correct the name")
        }
        guard names.insert(name).inserted else {
            throw failure("contig '\(name)' appears twice", "give every contig its own name")
        }
        self.name = name
    }

    /// SAM 1.6, section 1.2.1: printable, without \\ , " ' ( ) [ ] { } < >, and neither * nor = at the beginning.
    private static func isName(_ word: ArraySlice<UInt8>) -> Bool {
        let refused = Array("\\,\"'()[]{}<>".utf8)
        return word.allSatisfy { $0 > 32 && $0 < 127 && !refused.contains($0) }
            && word.first != UInt8(ascii: "*") && word.first != UInt8(ascii: "=")
    }

    private func closeContig() throws {
        guard let name else { return }
        guard !bases.isEmpty else { throw failure("contig '\(name)' has no sequence", "check that the file is whole") }
        guard bases.count <= Int(Int32.max) else {
            throw failure("contig '\(name)' is longer than 2^31 bases", "split the contig")
        }
        contigs.append(ReferenceGenome.Contig(name: name, bases: bases))
        self.name = nil
        bases = []
    }

    private func append(_ line: UnsafeRawBufferPointer) throws {
        var line = line
        if line.last == 13 { line = UnsafeRawBufferPointer(rebasing: line.dropLast()) }
        if line.isEmpty { return }
        guard name != nil else {
            throw failure("is not FASTA: no line with '>' comes first", "give a FASTA file")
        }
        let start = bases.count
        bases.append(contentsOf: line)
        var invalid: UInt8 = 0
        Self.codes.withUnsafeBufferPointer { codes in
            bases.withUnsafeMutableBufferPointer { bases in
                for i in start..<bases.count {
                    let code = codes[Int(bases[i])]
                    invalid |= code
                    bases[i] = code
                }
            }
        }
        if invalid & 0x80 != 0 {
            throw failure("sequence holds a character that is no base", "bases are IUPAC letters")
        }
    }
}

extension ReferenceGenome {
    /// A 64-bit digest of names, lengths and bases in order, to tell whether an index or a file of variants was made
    /// from this reference. Not cryptographic.
    public func digest() -> UInt64 {
        var state: UInt64 = 0xcbf2_9ce4_8422_2325
        func mix(_ word: UInt64) {
            let product = (state ^ word).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
            state = product.high ^ product.low &+ 0x2545_f491_4f6c_dd1d
        }
        func mix(_ bytes: UnsafeRawBufferPointer) {
            mix(UInt64(bytes.count))
            var at = 0
            while at + 8 <= bytes.count {
                mix(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)))
                at += 8
            }
            var tail: UInt64 = 0
            while at < bytes.count {
                tail = tail << 8 | UInt64(bytes[at])
                at += 1
            }
            mix(tail)
        }
        mix(UInt64(contigs.count))
        for contig in contigs {
            Array(contig.name.utf8).withUnsafeBytes { mix($0) }
            contig.bases.withUnsafeBytes { mix($0) }
        }
        return state
    }
}

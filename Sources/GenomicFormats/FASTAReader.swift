internal import CKernels
internal import Compression
internal import Diagnostics
internal import Glibc
internal import Storage

/// Reads a reference genome from FASTA: plain, gzip or BGZF; upper and lower case; IUPAC codes become N.
public enum FASTAReader {
    /// Reads and inflates on a thread of its own, and parses on the caller's.
    ///
    /// - Parameter threads: to inflate BGZF on.
    /// - Throws: ``Failure`` `.noInput` or `.data`: not FASTA, a contig twice, a contig without sequence, a character
    ///   that is no base, a damaged or truncated file.
    public static func read(_ path: String, threads: Int = 1) throws -> ReferenceGenome {
        let file = try FileReader(path: path)
        let text = Ahead<Text>(
            name: "dsgd-fasta", size: { $0.bytes.count }, interrupt: { file.interrupt() }
        ) { put in
            let inflater = GzipInflater(label: path, threads: threads)
            while try file.next({ try inflater.feed($0) { try put(Text(copying: $0)) } }) {}
            try inflater.finish { try put(Text(copying: $0)) }
        }
        defer { text.stop() }
        let parser = FASTAParser(label: path)
        while let piece = try text.next() { try parser.feed(piece.bytes) }
        return try parser.finish()
    }

    /// Bytes that nobody changes any more.
    private final class Text: @unchecked Sendable {
        let bytes: UnsafeRawBufferPointer

        init(copying piece: UnsafeRawBufferPointer) {
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: piece.count, alignment: 64)
            copy.copyMemory(from: piece)
            bytes = UnsafeRawBufferPointer(copy)
        }

        deinit { bytes.deallocate() }
    }
}

/// FASTA pushed in pieces of any size.
public final class FASTAParser {
    public let label: String
    private var contigs: [ReferenceGenome.Contig] = []
    private var names: Set<String> = []
    private var name: String?
    /// The contig under way. The room stays for the next one.
    private var bases: UnsafeMutablePointer<UInt8>?
    private var baseCount = 0
    private var room = 0
    private var header: [UInt8] = []
    private var isInHeader = false
    private var isAtLineStart = true
    /// A carriage return ended the piece before: it belongs to a line end, or is a character that is no base.
    private var hasCarriageReturn = false
    private var lineNumber = 1

    public init(label: String) { self.label = label }

    deinit { free(bases) }

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
            let end = Bytes.find(10, in: bytes, from: at)
            let line = UnsafeRawBufferPointer(start: base + at, count: (end ?? bytes.count) - at)
            if isInHeader {
                header.append(contentsOf: line)
                if header.count > 1 << 16 { throw failure("header line is longer than 64 KiB", "check the file") }
            } else {
                try append(line)
            }
            guard let end else {
                if !line.isEmpty { isAtLineStart = false }
                return
            }
            if isInHeader { try openContig() }
            isInHeader = false
            isAtLineStart = true
            hasCarriageReturn = false
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
        guard baseCount > 0 else { throw failure("contig '\(name)' has no sequence", "check that the file is whole") }
        contigs.append(
            ReferenceGenome.Contig(name: name, bases: Array(UnsafeBufferPointer(start: bases, count: baseCount))))
        self.name = nil
        baseCount = 0
    }

    private func append(_ line: UnsafeRawBufferPointer) throws {
        if line.isEmpty { return }
        let endsInReturn = line[line.count - 1] == 13
        let count = endsInReturn ? line.count - 1 : line.count
        guard name != nil || count == 0 else {
            throw failure("is not FASTA: no line with '>' comes first", "give a FASTA file")
        }
        let letters = line.baseAddress!.assumingMemoryBound(to: UInt8.self)
        try makeRoom(count)
        guard !hasCarriageReturn, ck_encode_bases(letters, count, true, bases! + baseCount) else {
            throw failure("sequence holds a character that is no base", "bases are IUPAC letters")
        }
        hasCarriageReturn = endsInReturn
        baseCount += count
    }

    /// Grows by the C library, which moves pages of large blocks and does not copy them.
    private func makeRoom(_ count: Int) throws {
        guard count <= Int(Int32.max) - baseCount else {
            throw failure("contig '\(name ?? "")' is longer than 2^31 bases", "split the contig")
        }
        guard bases == nil || baseCount + count > room else { return }
        room = max(1 << 16, 2 * room, baseCount + count)
        guard let grown = realloc(bases, room) else {
            throw Failure(
                .inputOutput, at: label, "there is no memory for a contig of \(room) bases", remedy: "free memory")
        }
        bases = grown.assumingMemoryBound(to: UInt8.self)
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

import Diagnostics

/// The header of a VCF file: meta lines as they stand, contigs, and sample names.
public struct VCFHeader: Sendable, Equatable {
    public struct Contig: Sendable, Equatable {
        public var name: String
        /// In bases; nil when the header does not say.
        public var length: Int?
        public init(name: String, length: Int? = nil) {
            self.name = name
            self.length = length
        }
    }

    /// One `##FILTER`, `##INFO` or `##FORMAT` line.
    public struct Definition: Sendable, Equatable {
        public var kind: String
        public var id: String
        /// The text of `Number=`; nil for filters.
        public var number: String?
        public var line: String
    }

    /// Lines that begin with "##", without line ends, `##fileformat` first.
    public var metaLines: [String]
    public var contigs: [Contig]
    public var definitions: [Definition]
    public var samples: [String]
    /// Whether the column line has FORMAT.
    public var hasFormat: Bool

    /// Tab-separated columns of every record.
    public var columnCount: Int { hasFormat ? 9 + samples.count : 8 }

    /// A header made from parts; contig lines are written after the meta lines.
    public init(metaLines: [String] = ["##fileformat=VCFv4.3"], contigs: [Contig], samples: [String]) {
        self.metaLines = metaLines
        self.contigs = contigs
        self.samples = samples
        hasFormat = !samples.isEmpty
        definitions = metaLines.compactMap { Self.definition($0) }
        for contig in contigs {
            self.metaLines.append("##contig=<ID=\(contig.name)\(contig.length.map { ",length=\($0)" } ?? "")>")
        }
    }

    /// The number of bytes up to and including the "#CHROM" line, or nil when that line is not whole yet.
    public static func byteCount(in bytes: UnsafeRawBufferPointer) -> Int? {
        var at = 0
        while at < bytes.count, bytes[at] == UInt8(ascii: "#") {
            guard let end = Bytes.find(10, in: bytes, from: at) else { return nil }
            if at + 1 < bytes.count && bytes[at + 1] != UInt8(ascii: "#") { return end + 1 }
            at = end + 1
        }
        return at < bytes.count ? at : nil
    }

    /// Parses everything up to and including the "#CHROM" line.
    ///
    /// - Throws: ``Failure`` `.data`: no `##fileformat`, no column line, wrong columns, a sample or contig twice.
    public init(parsing bytes: UnsafeRawBufferPointer, label: String) throws {
        metaLines = []
        contigs = []
        definitions = []
        samples = []
        hasFormat = false
        var names = Set<String>()
        var columns: String?
        var lineNumber = 0
        func failure(_ problem: String, _ remedy: String) -> Failure {
            Failure(.data, at: "\(label):line \(max(1, lineNumber))", problem, remedy: remedy)
        }
        for slice in bytes.split(separator: 10, omittingEmptySubsequences: false) {
            lineNumber += 1
            if slice.contains(0) { throw failure("holds a NUL byte", "the file is damaged: fetch it again") }
            var line = String(decoding: slice, as: UTF8.self)
            if line.utf8.last == 13 { line = String(decoding: slice.dropLast(), as: UTF8.self) }
            if lineNumber == 1 && !line.utf8.starts(with: "##fileformat=VCF".utf8) {
                throw failure("is no VCF: '##fileformat=VCFv4.x' is missing", "give a VCF file with its header")
            }
            guard line.utf8.starts(with: "##".utf8) else {
                columns = line
                break
            }
            metaLines.append(line)
            if let definition = Self.definition(line) { definitions.append(definition) }
            if line.utf8.starts(with: "##contig=<".utf8) {
                guard let name = Self.value(of: "ID", in: line), !name.isEmpty else {
                    throw failure("contig line has no ID", "correct the header")
                }
                guard names.insert(name).inserted else {
                    throw failure("contig '\(name)' appears twice", "correct the header")
                }
                contigs.append(Contig(name: name, length: Self.value(of: "length", in: line).flatMap { Int($0) }))
            }
        }
        let fixed = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]
        let fields = (columns ?? "").split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        guard fields.count >= 8, Array(fields[0..<8]) == fixed, fields.count == 8 || fields[8] == "FORMAT" else {
            throw failure(
                "the '#CHROM' line is missing or not whole", "give a VCF file with its header, tab-separated")
        }
        hasFormat = fields.count > 8
        samples = Array(fields.dropFirst(9))
        guard Set(samples).count == samples.count else {
            throw failure("a sample name appears twice", "give every sample its own name")
        }
    }

    /// The header's text, ready to be written.
    public var text: [UInt8] {
        var columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
        if hasFormat { columns += "\tFORMAT" }
        for sample in samples { columns += "\t" + sample }
        return Array((metaLines.map { $0 + "\n" }.joined() + columns + "\n").utf8)
    }

    /// Adds a meta line; `##contig` and definition lines count from then on.
    public mutating func append(metaLine line: String) {
        precondition(
            line.utf8.starts(with: "##".utf8) && !line.contains("\n"), "a meta line is one line that begins with ##")
        metaLines.append(line)
        if let definition = Self.definition(line) { definitions.append(definition) }
        if line.utf8.starts(with: "##contig=<".utf8), let name = Self.value(of: "ID", in: line) {
            contigs.append(Contig(name: name, length: Self.value(of: "length", in: line).flatMap { Int($0) }))
        }
    }

    private static let definitionPrefixes = [
        ("FILTER", "##FILTER=<"), ("INFO", "##INFO=<"), ("FORMAT", "##FORMAT=<"),
    ]

    private static func definition(_ line: String) -> Definition? {
        for (kind, prefix) in definitionPrefixes where line.utf8.starts(with: prefix.utf8) {
            guard let id = value(of: "ID", in: line) else { return nil }
            return Definition(kind: kind, id: id, number: value(of: "Number", in: line), line: line)
        }
        return nil
    }

    /// The value of a key between angle brackets, quotes kept; nil when the key is absent.
    public static func value(of key: String, in line: String) -> String? {
        // Bytes, not characters: a header may have thousands of lines.
        let bytes = line.utf8
        guard let open = bytes.firstIndex(of: UInt8(ascii: "<")) else { return nil }
        var start = bytes.index(after: open)
        var at = start
        var isQuoted = false
        while at != bytes.endIndex {
            let byte = bytes[at]
            if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
            if !isQuoted && (byte == UInt8(ascii: ",") || byte == UInt8(ascii: ">")) {
                let field = bytes[start..<at]
                if field.starts(with: key.utf8), field.dropFirst(key.utf8.count).first == UInt8(ascii: "=") {
                    return String(field.dropFirst(key.utf8.count + 1))
                }
                if byte == UInt8(ascii: ">") { return nil }
                start = bytes.index(after: at)
            }
            at = bytes.index(after: at)
        }
        return nil
    }
}

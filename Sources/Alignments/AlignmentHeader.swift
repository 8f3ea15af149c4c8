public import GenomicFormats

/// What stands at the head of a SAM or BAM file (SAMv1 section 1.3).
public struct AlignmentHeader: Sendable {
    /// The program that made the alignments.
    public struct Program: Sendable, Hashable {
        public var name: String
        public var version: String
        public var commandLine: String

        public init(name: String = "dsgd", version: String, commandLine: String) {
            self.name = name
            self.version = version
            self.commandLine = commandLine
        }
    }

    public enum Order: Sendable {
        /// As the reads came, mates together.
        case input
        case coordinate
    }

    public var contigs: [(name: String, length: Int)]
    /// At least one; a batch says to which its reads belong.
    public var readGroups: [ReadGroup]
    public var program: Program

    public init(genome: ReferenceGenome, readGroups: [ReadGroup], program: Program) {
        precondition(!readGroups.isEmpty, "every read belongs to a read group")
        contigs = genome.contigs.map { ($0.name, $0.length) }
        self.readGroups = readGroups
        self.program = program
    }

    /// The header's lines.
    public func text(_ order: Order) -> [UInt8] {
        var text = order == .input ? "@HD\tVN:1.6\tSO:unsorted\tGO:query\n" : "@HD\tVN:1.6\tSO:coordinate\n"
        for contig in contigs { text += "@SQ\tSN:\(contig.name)\tLN:\(contig.length)\n" }
        for group in readGroups {
            text += "@RG\tID:\(Self.value(group.id))\tSM:\(Self.value(group.sample))\tLB:\(Self.value(group.library))"
            text += "\tPL:ILLUMINA\tPU:\(Self.value(group.platformUnit))\n"
        }
        text += "@PG\tID:\(Self.value(program.name))\tPN:\(Self.value(program.name))\tVN:\(Self.value(program.version))"
        text += "\tCL:\(Self.value(program.commandLine))\n"
        return Array(text.utf8)
    }

    /// What a file name put into a command line neither ends the field nor the line.
    private static func value(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? " " : $0 }))
    }
}

import BinaryVariants
public import Compression
import Diagnostics
import GenomicFormats
import Glibc
public import Metering
import Storage

/// A right applied to VCF: which records, which fields, which header (stages B-1, B-2 and B-3 of the paper).
///
/// docs/FILTER-RULES.md says how every kind of record is decided.
public struct VCFFilter: Sendable {
    public var selection: Selection
    public var overlap: OverlapRule
    public var fields: FieldProjection
    public var header: HeaderPolicy
    /// Refuse input whose records are out of order. Needed for an index, and always so when disclosing.
    public var requiresSortedInput: Bool

    public init(
        selection: Selection, overlap: OverlapRule = .within, fields: FieldProjection = .all,
        header: HeaderPolicy = .keep(commandLine: nil), requiresSortedInput: Bool = true
    ) {
        self.selection = selection
        self.overlap = overlap
        self.fields = fields
        self.header = header
        self.requiresSortedInput = requiresSortedInput
        if discloses { self.requiresSortedInput = true }
    }

    var discloses: Bool {
        if case .disclose = header { true } else { false }
    }

    /// All that one job gives.
    public struct Output: Sendable {
        public var vcfGz: [UInt8]
        /// The index; nil when order is not required.
        public var tbi: [UInt8]?
        public var counts: FilterCounts
        /// `.decompression`, `.filtering`, `.compression`, with the bytes of the paper's formulas.
        public var measurements: [StageMeasurement]
    }

    /// VCF in memory, plain or compressed, to F_VCF.gz in memory.
    ///
    /// - Throws: ``Failure`` `.data` for damaged input, for what ``VCFHeader``, ``VCFRecordScanner`` or the right's
    ///   contigs refuse, and when the input inflates to more than `maximumOutput` bytes.
    public func run(
        _ vcf: UnsafeRawBufferPointer, label: String, level: CompressionLevel = .compact, threads: Int = 1,
        maximumOutput: Int? = nil
    ) throws -> Output {
        var bytes: [UInt8] = []
        let settings = FilterOutput(level: level, threads: threads)
        let report = try stream(
            label: label, output: settings, maximumOutput: maximumOutput, source: Self.source(vcf)
        ) { bytes.append(contentsOf: $0) }
        return Output(vcfGz: bytes, tbi: report.index, counts: report.counts, measurements: report.measurements)
    }

    /// F_VCF with its counts.
    public struct FilteredVCF: Sendable {
        public var bytes: [UInt8]
        public var counts: FilterCounts
    }

    /// VCF in memory to F_VCF in memory, not compressed.
    public func filter(_ vcf: UnsafeRawBufferPointer, label: String) throws -> FilteredVCF {
        var bytes: [UInt8] = []
        let report = try stream(label: label, output: FilterOutput(format: .vcf), source: Self.source(vcf)) {
            bytes.append(contentsOf: $0)
        }
        return FilteredVCF(bytes: bytes, counts: report.counts)
    }

    /// Filters a file, VCF or BCF, to `output` and, where it is compressed, its index beside it, in bounded memory; both
    /// appear only when whole. `-` is standard input and standard output, which gets no index.
    ///
    /// - Parameter usesIndex: skip blocks by a `.tbi` beside the input. It is never used when disclosing, and not
    ///   believed: where it does not fit the file, the whole file is read.
    @discardableResult
    public func filterFile(
        _ input: String, to output: String, output settings: FilterOutput = FilterOutput(), usesIndex: Bool = true
    ) throws -> FilterReport {
        if usesIndex, let (file, plan) = try skipPlan(for: input, threads: settings.threads) {
            do {
                let positioned = try PositionedFile(path: input, remedy: Self.cutRemedy)
                return try write(
                    input, to: output, settings, plan: plan, source: Self.source(positioned), fileBytes: { nil })
            } catch let error where error is IndexDoesNotFit || (error as? Failure)?.kind == .data {
                // What went into a pipe cannot be taken back.
                guard try output != "-" && !PartialFile.leadsToStream(output) else {
                    // What BCF cannot hold is no fault of the index.
                    if (error as? Failure)?.place.hasPrefix(Self.standardOutput) == true { throw error }
                    throw Failure(
                        .data, at: file, "does not belong to the VCF, or one of them is damaged",
                        remedy: "make it again, or use --no-index")
                }
                // Read from end to end, the file says itself what is wrong with it.
            }
        }
        let reader = try VariantFileReader(path: input, threads: settings.threads)
        // A regular file is read in place, without the reader's copy.
        if !reader.isBCF, input != "-", let file = try? PositionedFile(path: input, remedy: Self.cutRemedy) {
            return try write(
                input, to: output, settings, plan: nil, source: Self.source(file), fileBytes: { nil })
        }
        return try write(
            input, to: output, settings, plan: nil, source: { room, _ in try reader.read(into: room) },
            fileBytes: { reader.isBCF ? reader.fileBytes : nil })
    }

    /// How messages name the output `-`.
    private static let standardOutput = "standard output"
    private static let cutRemedy = "the file was cut while it was read: start again"

    /// - Parameter fileBytes: bytes of the input of which the source's are a translation; nil where it is none.
    private func write(
        _ input: String, to output: String, _ settings: FilterOutput, plan: SkipPlan?,
        source: @escaping BGZFGroupReader.Source, fileBytes: () -> Int?
    ) throws -> FilterReport {
        let file = try PartialFile(path: output, audience: .everyone)
        var settings = settings
        if file.isStream { settings.makesIndex = false }
        var report: FilterReport
        if settings.format.isBCF {
            let form = settings.format == .bcf ? BCFWriter.Form.compressed(settings.level) : .plain
            let writer = BCFWriter(
                label: output == "-" ? Self.standardOutput : output, form: form, threads: settings.threads,
                makesIndex: settings.makesIndex && requiresSortedInput
            ) { try file.write($0) }
            settings.format = .vcf
            report = try stream(label: input, output: settings, plan: plan, source: source) { try writer.write($0) }
            report.index = try writer.finish()
            report.indexSuffix = ".csi"
            report.change(.compression) { $0 / 2 + writer.fileBytes }
        } else {
            report = try stream(label: input, output: settings, plan: plan, source: source) { try file.write($0) }
        }
        if let bytes = fileBytes() { report.change(.decompression) { $0 / 2 + bytes } }
        let indexFile = try report.index.map { bytes in
            let indexFile = try PartialFile(path: output + report.indexSuffix, audience: .everyone)
            try indexFile.write(bytes)
            return indexFile
        }
        if !file.isStream {
            // An index of what the name held before would be believed.
            for suffix in [".tbi", ".csi"] where indexFile == nil || suffix != report.indexSuffix {
                unlink(output + suffix)
            }
        }
        try file.commit()
        try indexFile?.commit()
        return report
    }

    /// The index beside a BGZF file, and what it lets be skipped; nil when there is none that could be of use.
    private func skipPlan(for input: String, threads: Int) throws -> (path: String, plan: SkipPlan)? {
        let path = input + ".tbi"
        guard !discloses, input != "-", let regions = selection.regions, let bytes = try? readWhole(path, limit: 1 << 28),
            let index = try? bytes.withUnsafeBytes({ try TabixIndex(parsing: $0, label: path, threads: threads) })
        else { return nil }
        guard let file = try? PositionedFile(path: input, remedy: "check the file"), file.size > BGZF.endMarker.count
        else { return nil }
        // What is skipped is not read, so the file's end is looked at here. Without its marker the whole is read, which
        // says what is wrong.
        var end = [UInt8](repeating: 0, count: BGZF.endMarker.count)
        try end.withUnsafeMutableBytes { try file.read($0, at: file.size - $0.count) }
        guard end == BGZF.endMarker,
            let plan = SkipPlan(regions, byPosition: overlap == .position, index: index, fileSize: file.size)
        else { return nil }
        return (path, plan)
    }

    private func stream(
        label: String, output: FilterOutput, maximumOutput: Int? = nil, plan: SkipPlan? = nil,
        source: @escaping BGZFGroupReader.Source, sink: @escaping ByteSink
    ) throws -> FilterReport {
        try FilterPipeline(
            self, settings: output, label: label, maximumOutput: maximumOutput, plan: plan, source: source,
            sink: sink
        ).run()
    }

    private static func source(_ bytes: UnsafeRawBufferPointer) -> BGZFGroupReader.Source {
        { room, offset in
            let count = min(room.count, max(0, bytes.count - offset))
            room.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]))
            return count
        }
    }

    private static func source(_ file: PositionedFile) -> BGZFGroupReader.Source {
        { room, offset in
            let count = min(room.count, max(0, file.size - offset), 1 << 18)
            try file.read(UnsafeMutableRawBufferPointer(rebasing: room[0..<count]), at: offset)
            return count
        }
    }

    func prepare(_ input: VCFHeader, label: String) throws -> OutputHeader {
        switch selection {
        case .regions(let set): try set.check(against: input.contigs, label: label)
        case .variants(let list): try list.positions.check(against: input.contigs, label: label)
        case .everything, .identifiers: break
        }
        return try OutputHeader(input, fields: fields, policy: header, label: label)
    }
}

extension FilterReport {
    /// Corrects the bytes of a stage that translated from or to BCF, where the pipeline counted the text twice.
    fileprivate mutating func change(_ stage: Stage, _ bytes: (Int) -> Int) {
        for index in measurements.indices where measurements[index].stage == stage {
            measurements[index].bytes = bytes(measurements[index].bytes)
        }
    }
}

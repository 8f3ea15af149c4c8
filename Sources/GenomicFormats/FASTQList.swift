internal import Diagnostics
internal import Storage

/// A list of the FASTQ files of one or more samples by lane, in the form of `fastq_list.csv` that DRAGEN and BCL
/// Convert write: comma-separated, a header with at least RGID, RGSM, RGLB, Lane, Read1File and Read2File in any order,
/// then one line for each lane. RGPU is taken where it is given; the list's other RG columns do not concern genotyping.
public struct FASTQList: Sendable, Equatable {
    /// The files of one sample.
    public struct Sample: Sendable, Equatable {
        public var name: String
        public var layout: ReadLayout
        public var lanes: [ReadLane]
        /// In the order in which the lanes name them.
        public var readGroups: [ReadGroup]

        public init(name: String, layout: ReadLayout, lanes: [ReadLane], readGroups: [ReadGroup]) {
            self.name = name
            self.layout = layout
            self.lanes = lanes
            self.readGroups = readGroups
        }
    }

    /// In the order of their first lines.
    public private(set) var samples: [Sample] = []

    private static let required = ["RGID", "RGSM", "RGLB", "Lane", "Read1File", "Read2File"]
    /// The longest list taken, in bytes.
    private static let maximumBytes = 16 << 20

    /// - Throws: `Failure` `.noInput`, or `.data` with the line.
    public static func read(_ path: String) throws -> FASTQList {
        let directory = path.contains("/") ? String(path[...(path.lastIndex(of: "/") ?? path.startIndex)]) : ""
        let bytes = try readWhole(path, limit: maximumBytes)
        return try bytes.withUnsafeBytes { try FASTQList(parsing: $0, label: path, directory: directory) }
    }

    /// - Parameter directory: what relative paths begin with: empty, or with a slash at its end.
    public init(parsing bytes: UnsafeRawBufferPointer, label: String, directory: String = "") throws {
        var columns: [String: Int]?
        try TableReader.forEachLine(of: bytes, label: label) { number, line in
            func failure(_ problem: String, _ remedy: String) -> Failure {
                Failure(.data, at: "\(label):line \(number)", problem, remedy: remedy)
            }
            guard let text = String(validating: line, as: UTF8.self), !text.contains("\"") else {
                throw failure("holds quotation marks or is not UTF-8", "write plain fields with commas between")
            }
            let fields = text.split(separator: ",", omittingEmptySubsequences: false).map(Self.trimmed)
            guard let known = columns else {
                columns = try Self.columns(fields, failure)
                return
            }
            guard fields.count == known.count else {
                throw failure("has \(fields.count) fields, the header \(known.count)", "give every column a field")
            }
            try append({ known[$0].map { fields[$0] } ?? "" }, directory: directory, failure)
        }
        guard !samples.isEmpty else {
            throw Failure(.data, at: label, "names no lane", remedy: "write a header, and a line for each lane")
        }
    }

    /// The sample of that name, or the only one when `name` is nil.
    ///
    /// - Throws: `Failure` `.data` when there is none of that name, or several to choose from.
    public func sample(_ name: String?, label: String) throws -> Sample {
        let names = samples.map { "'\($0.name)'" }.joined(separator: ", ")
        if let name {
            guard let sample = samples.first(where: { $0.name == name }) else {
                throw Failure(.data, at: label, "has no sample '\(name)'", remedy: "it has \(names)")
            }
            return sample
        }
        guard samples.count == 1 else {
            throw Failure(
                .data, at: label, "has \(samples.count) samples", remedy: "choose with --fastq-list-sample-id: \(names)")
        }
        return samples[0]
    }

    private static func trimmed(_ field: Substring) -> String {
        String(field.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }

    private static func columns(
        _ fields: [String], _ failure: (String, String) -> Failure
    ) throws -> [String: Int] {
        var columns: [String: Int] = [:]
        for (place, name) in fields.enumerated() {
            guard required.contains(name) || (name.hasPrefix("RG") && name.utf8.count == 4) else {
                throw failure("unknown column '\(name)'", "write \(required.joined(separator: ","))")
            }
            guard columns.updateValue(place, forKey: name) == nil else {
                throw failure("column '\(name)' stands there twice", "leave one of them out")
            }
        }
        if let missing = required.first(where: { columns[$0] == nil }) {
            throw failure("column '\(missing)' is missing", "write \(required.joined(separator: ","))")
        }
        return columns
    }

    private mutating func append(
        _ field: (String) -> String, directory: String, _ failure: (String, String) -> Failure
    ) throws {
        for column in Self.required where column != "Read2File" {
            guard !field(column).isEmpty else { throw failure("\(column) is empty", "give it a value") }
        }
        for column in ["RGID", "RGSM", "RGLB", "RGPU"] {
            // These become fields of SAM and VCF headers.
            guard field(column).unicodeScalars.allSatisfy({ $0.value >= 32 && $0.value != 127 }) else {
                throw failure("\(column) holds a control character", "correct it")
            }
        }
        guard field("Lane").utf8.allSatisfy({ (48...57).contains($0) }) else {
            throw failure("Lane is no number", "lanes are numbered from 1")
        }
        let name = field("RGSM")
        guard name.utf8.count <= 255, !name.contains(" ") else {
            throw failure("RGSM is not one word of at most 255 bytes", "correct it")
        }
        let paths = [field("Read1File"), field("Read2File")].filter { !$0.isEmpty }
            .map { $0.hasPrefix("/") || $0 == "-" ? $0 : directory + $0 }
        let layout: ReadLayout = paths.count == 2 ? .paired : .unpaired
        if let twice = paths.first(where: { path in
            paths.filter { $0 == path }.count > 1 || samples.contains { $0.lanes.contains { $0.paths.contains(path) } }
        }) {
            throw failure("file '\(twice)' is named twice", "give every lane files of its own")
        }
        let place = samples.firstIndex { $0.name == name } ?? samples.count
        if place == samples.count {
            samples.append(Sample(name: name, layout: layout, lanes: [], readGroups: []))
        }
        guard samples[place].layout == layout else {
            throw failure(
                "sample '\(name)' has lanes with and without second mates", "give all lanes of a sample the same layout")
        }
        let group = ReadGroup(
            id: field("RGID"), sample: name, library: field("RGLB"),
            platformUnit: field("RGPU").isEmpty ? field("RGID") : field("RGPU"))
        let number = samples[place].readGroups.firstIndex { $0.id == group.id } ?? samples[place].readGroups.count
        if number == samples[place].readGroups.count {
            samples[place].readGroups.append(group)
        } else if samples[place].readGroups[number] != group {
            throw failure(
                "RGID '\(group.id)' stands for another library or unit above", "give every read group its own RGID")
        }
        samples[place].lanes.append(ReadLane(paths: paths, readGroup: number))
    }
}

import Compression
import Diagnostics
import Glibc
import Storage

/// Sorted, disjoint 0-based half-open intervals of one contig. Overlapping and touching intervals are one.
public struct Intervals: Sendable, Equatable {
    public private(set) var starts: [Int]
    public private(set) var ends: [Int]
    public var count: Int { starts.count }
    public var ranges: [Range<Int>] { zip(starts, ends).map { $0..<$1 } }

    public init(_ ranges: [Range<Int>]) {
        starts = []
        ends = []
        for range in ranges.sorted(by: { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }) {
            if let last = ends.last, range.lowerBound <= last {
                ends[ends.count - 1] = max(last, range.upperBound)
            } else {
                starts.append(range.lowerBound)
                ends.append(range.upperBound)
            }
        }
    }

    /// The first interval that ends behind `position`; ``count`` when none does.
    public func firstIndex(endingAfter position: Int) -> Int {
        var low = 0
        var high = ends.count
        while low < high {
            let middle = (low + high) / 2
            if ends[middle] > position { high = middle } else { low = middle + 1 }
        }
        return low
    }

    public func overlaps(_ range: Range<Int>) -> Bool {
        let index = firstIndex(endingAfter: range.lowerBound)
        return index < count && starts[index] < range.upperBound
    }

    /// Whether one interval holds the whole range.
    public func contains(_ range: Range<Int>) -> Bool {
        let index = firstIndex(endingAfter: range.lowerBound)
        return index < count && starts[index] <= range.lowerBound && range.upperBound <= ends[index]
    }

    public var baseCount: Int { zip(starts, ends).reduce(0) { $0 + $1.1 - $1.0 } }
}

/// Regions of several contigs, by contig name.
public struct RegionSet: Sendable, Equatable {
    public private(set) var contigs: [String: Intervals]

    public init(_ ranges: [String: [Range<Int>]]) {
        contigs = ranges.filter { !$0.value.isEmpty }.mapValues { Intervals($0) }
    }

    /// Regions as on command lines: CHROM, CHROM:POS, CHROM:FROM-TO or CHROM:FROM- with commas between them, 1-based,
    /// ends included.
    ///
    /// - Throws: ``Failure`` `.usage` for what is none.
    public init(listed text: String) throws {
        var ranges: [String: [Range<Int>]] = [:]
        for word in text.split(separator: ",") {
            let colon = word.lastIndex(of: ":")
            let name = String(word[..<(colon ?? word.endIndex)])
            let places = colon.map { word[word.index(after: $0)...].split(separator: "-", omittingEmptySubsequences: false) }
            let behindLast = Int(Int32.max)
            let numbers =
                places?.enumerated().map { $0 == 1 && $1.isEmpty ? behindLast : Int($1) ?? 0 } ?? [1, behindLast]
            guard !name.isEmpty, (1...2).contains(numbers.count), let first = numbers.first, let last = numbers.last,
                first >= 1, first <= last, last <= Int(Int32.max)
            else {
                throw Failure(
                    .usage, at: "region \(word)", "is no region",
                    remedy: "write CHROM, CHROM:POS, CHROM:FROM-TO or CHROM:FROM-, 1-based")
            }
            ranges[name, default: []].append(first - 1..<last)
        }
        self.init(ranges)
    }

    public var isEmpty: Bool { contigs.isEmpty }
    /// Bases covered.
    public var baseCount: Int { contigs.values.reduce(0) { $0 + $1.baseCount } }
    public func intervals(of contig: String) -> Intervals? { contigs[contig] }

    public func overlaps(_ contig: String, _ range: Range<Int>) -> Bool {
        contigs[contig]?.overlaps(range) ?? false
    }

    /// Refuses regions on contigs that `header` does not have, or beyond a contig's end, where the header tells.
    public func check(against contigs: [VCFHeader.Contig], label: String) throws {
        guard !contigs.isEmpty else { return }
        let lengths = Dictionary(contigs.map { ($0.name, $0.length) }, uniquingKeysWith: { first, _ in first })
        for (name, intervals) in self.contigs.sorted(by: { $0.key < $1.key }) {
            guard let length = lengths[name] else {
                throw Failure(
                    .data, at: label, "contig '\(name)' of the regions is not in the data's header",
                    remedy: "check that the names agree (chr20 is not 20)")
            }
            // 2^31 - 1 is the end of a region that was given as a whole contig.
            if let length, let end = intervals.ends.last, end > length, end != Int(Int32.max) {
                throw Failure(
                    .data, at: label, "a region ends at \(end), beyond the \(length) bases of contig '\(name)'",
                    remedy: "check that regions and data are of the same genome build")
            }
        }
    }
}

/// Reads tables of tab- or blank-separated lines, plain or gzip, and hands each line's fields on.
enum TableReader {
    static func forEachLine(
        of bytes: UnsafeRawBufferPointer, label: String, _ body: (Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        // Text is read where it lies: a list of millions of lines need not be there twice.
        guard bytes.first == 0x1f else { return try forEachLine(ofPlain: bytes, label: label, body) }
        try GzipInflater.inflate(bytes, label: label).withUnsafeBytes {
            try forEachLine(ofPlain: $0, label: label, body)
        }
    }

    private static func forEachLine(
        ofPlain plain: UnsafeRawBufferPointer, label: String, _ body: (Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        var at = 0
        var number = 0
        while at < plain.count {
            let end = Bytes.find(10, in: plain, from: at) ?? plain.count
            var line = UnsafeRawBufferPointer(rebasing: plain[at..<end])
            if line.last == 13 { line = UnsafeRawBufferPointer(rebasing: line.dropLast()) }
            number += 1
            if Bytes.find(0, in: line, from: 0) != nil {
                throw Failure(
                    .data, at: "\(label):line \(number)", "holds a NUL byte", remedy: "give a text file")
            }
            if !line.isEmpty { try body(number, line) }
            at = end + 1
        }
    }
}

/// Reads BED: 0-based half-open, plain or gzip; comments, `track` and `browser` lines are passed over.
public enum BEDReader {
    /// - Throws: ``Failure`` with the line: start beyond end, no numbers, fewer than three columns, beyond 2^31 - 1.
    public static func read(_ path: String) throws -> RegionSet {
        let bytes = try readWhole(path)
        return try bytes.withUnsafeBytes { try parse($0, label: path) }
    }

    public static func parse(_ bytes: UnsafeRawBufferPointer, label: String) throws -> RegionSet {
        var ranges: [String: [Range<Int>]] = [:]
        var name = ""
        var current: [Range<Int>] = []
        try TableReader.forEachLine(of: bytes, label: label) { number, line in
            func failure(_ problem: String) -> Failure {
                Failure(
                    .data, at: "\(label):line \(number)", problem,
                    remedy: "write contig, start and end, 0-based and half-open, separated by tabs")
            }
            if let range = plainRange(line, behind: name) { return current.append(range) }
            if line[0] == UInt8(ascii: "#") { return }
            let isTabbed = line.contains(9)
            let fields = line.split(separator: isTabbed ? 9 : 32, maxSplits: 3, omittingEmptySubsequences: !isTabbed)
            let contig = fields.first.map { String(decoding: $0, as: UTF8.self) } ?? ""
            if ["track", "browser"].contains(contig.split(separator: " ").first.map(String.init) ?? "") { return }
            guard fields.count >= 3 else { throw failure("has fewer than three columns") }
            guard let start = number64(fields[1]), let end = number64(fields[2]) else {
                throw failure("start or end is no number from 0 to 2^31 - 1")
            }
            guard start <= end else { throw failure("start lies behind end") }
            guard !contig.isEmpty else { throw failure("contig has no name") }
            if contig != name {
                ranges[name, default: []].append(contentsOf: current)
                name = contig
                current = []
            }
            if start < end { current.append(start..<end) }
        }
        ranges[name, default: []].append(contentsOf: current)
        return RegionSet(ranges)
    }

    /// The range of a line of digits between tabs with this contig, which is not empty; nil for any other line.
    private static func plainRange(_ line: UnsafeRawBufferPointer, behind name: String) -> Range<Int>? {
        var name = name
        return name.withUTF8 { name in
            guard let base = line.baseAddress, let own = name.baseAddress, !name.isEmpty, line.count > name.count,
                memcmp(base, own, name.count) == 0, line[name.count] == 9
            else { return nil }
            var at = name.count + 1
            func number() -> Int? {
                let first = at
                var value = 0
                while at < line.count, case let digit = line[at] &- 48, digit < 10 {
                    value = value &* 10 &+ Int(digit)
                    at += 1
                }
                return at > first && at - first < 10 ? value : nil
            }
            guard let start = number(), at < line.count, line[at] == 9 else { return nil }
            at += 1
            guard let end = number(), at == line.count || line[at] == 9, start < end else { return nil }
            return start..<end
        }
    }

    private static func number64(_ bytes: Slice<UnsafeRawBufferPointer>) -> Int? {
        let field = UnsafeRawBufferPointer(rebasing: bytes)
        guard let base = field.baseAddress, let value = Bytes.decimal(base, 0, field.count), value <= Int(Int32.max)
        else { return nil }
        return value
    }
}

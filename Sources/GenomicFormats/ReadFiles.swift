internal import Compression
internal import Storage

/// The bytes of one file of reads, plain or compressed, pulled by the thread that inflates and parses them.
public protocol ReadSource: AnyObject, Sendable {
    /// The name in error messages.
    var label: String { get }

    /// Hands the next piece to `body`; false at the end.
    func next(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool

    /// Makes a `next` that waits, and every later one, throw. Any thread may call it.
    func stop()
}

/// The reads of one sample in files, on standard input or from elsewhere, lane after lane, as batches in input order.
///
/// Each stream (first mates, second mates) is read, inflated and parsed on a thread of its own; the caller's thread
/// makes batches. Batches, and the failure of bad input, do not depend on timing or threads.
public struct ReadFiles {
    /// The sources of one lane: two for `.paired`, else one.
    private struct Lane {
        let sources: () throws -> [any ReadSource]
        let readGroup: Int
    }

    public let layout: ReadLayout
    private let lanes: [Lane]
    private let threads: Int
    private let qualities: QualityEncoding
    private let keepsNames: Bool

    /// - Parameters:
    ///   - lanes: of one layout, read in this order.
    ///   - threads: to inflate BGZF on.
    ///   - keepsNames: batches hold the reads' names.
    public init(
        lanes: [ReadLane], layout: ReadLayout, qualities: QualityEncoding = .detected, threads: Int = 1,
        keepsNames: Bool = false
    ) {
        precondition(lanes.allSatisfy { $0.paths.count == layout.streams }, "one file for each stream")
        self.lanes = lanes.map { lane in
            Lane(sources: { try lane.paths.map { try FileSource($0) } }, readGroup: lane.readGroup)
        }
        self.layout = layout
        self.qualities = qualities
        self.threads = threads
        self.keepsNames = keepsNames
    }

    /// One lane in files: two of mates for `.paired`, else one; `-` is standard input.
    public init(paths: [String], layout: ReadLayout, threads: Int = 1, keepsNames: Bool = false) {
        self.init(lanes: [ReadLane(paths: paths)], layout: layout, threads: threads, keepsNames: keepsNames)
    }

    /// One lane from other sources, for one pass.
    public init(sources: [any ReadSource], layout: ReadLayout, threads: Int = 1) {
        precondition(sources.count == layout.streams, "one source for each stream")
        lanes = [Lane(sources: { sources }, readGroup: 0)]
        self.layout = layout
        qualities = .detected
        self.threads = threads
        keepsNames = false
    }

    /// Calls `body` for each batch and returns what was read. No thread is left behind, whatever is thrown.
    ///
    /// - Parameter waiting: called when that many seconds have passed without input, again and again; what it throws
    ///   ends the reading.
    /// - Throws: `Failure` that names the file and the record.
    public func forEachBatch(
        waiting: (seconds: Double, call: () throws -> Void)? = nil, _ body: (ReadBatch) throws -> Void
    ) throws -> ReadBatcher.Counts {
        // All files are opened first: one that is missing is known before hours of work.
        let sources = try lanes.map { try $0.sources() }
        let inflateThreads = max(1, threads / layout.streams)
        let streams = (0..<layout.streams).map { place in
            ReadStream(of: sources.map { $0[place] }, number: place, inflateThreads: inflateThreads)
        }
        defer { for stream in streams { stream.stop() } }
        var counts = ReadBatcher.Counts()
        for (lane, sources) in zip(lanes, sources) {
            let pulls = zip(streams, sources).map { stream, source in
                (label: source.label, source: { try stream.next(waiting: waiting)?.block })
            }
            let batcher = ReadBatcher(
                layout: layout, streams: pulls, readGroup: lane.readGroup, firstOrdinal: UInt64(counts.reads),
                qualities: qualities, keepsNames: keepsNames)
            counts.add(try batcher.run(body))
        }
        return counts
    }
}

/// The parsed files of one stream, lane after lane.
private typealias ReadStream = Ahead<LanePiece>

/// The next block of a lane, nil at the lane's end.
private struct LanePiece: Sendable {
    let block: FASTQBlock?
}

extension ReadStream {
    /// Reads, inflates and parses one source for each lane.
    fileprivate convenience init(of sources: [any ReadSource], number: Int, inflateThreads: Int) {
        self.init(
            name: "dsgd-read-\(number)", size: { $0.block?.byteCount ?? 0 },
            interrupt: { for source in sources { source.stop() } }
        ) { put in
            for source in sources {
                let inflater = GzipInflater(label: source.label, threads: inflateThreads)
                let parser = FASTQParser(label: source.label)
                let parse = { (plain: UnsafeRawBufferPointer) in
                    try parser.feed(plain) { try put(LanePiece(block: $0)) }
                }
                while try source.next({ try inflater.feed($0, emit: parse) }) {}
                try inflater.finish(emit: parse)
                try parser.finish { try put(LanePiece(block: $0)) }
                try put(LanePiece(block: nil))
            }
        }
    }
}

extension ReadBatcher.Counts {
    fileprivate mutating func add(_ other: Self) {
        reads += other.reads
        bases += other.bases
        fastqBytes += other.fastqBytes
    }
}

/// A file, or standard input.
private final class FileSource: ReadSource {
    let label: String
    private let file: FileReader

    init(_ path: String) throws {
        label = path
        file = try FileReader(path: path)
    }

    func next(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool { try file.next(body) }

    func stop() { file.interrupt() }
}

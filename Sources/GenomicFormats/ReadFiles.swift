internal import Compression
internal import Diagnostics
internal import Storage

/// Reads in files or on standard input, as batches in input order.
public struct ReadFiles {
    public let paths: [String]
    public let layout: ReadLayout
    private let threads: Int
    private let keepsNames: Bool

    /// - Parameters:
    ///   - paths: two files of mates for `.paired`, else one; `-` is standard input.
    ///   - threads: to inflate BGZF on.
    ///   - keepsNames: batches hold the reads' names.
    public init(paths: [String], layout: ReadLayout, threads: Int = 1, keepsNames: Bool = false) {
        precondition(paths.count == (layout == .paired ? 2 : 1), "one file for each stream")
        self.paths = paths
        self.layout = layout
        self.threads = threads
        self.keepsNames = keepsNames
    }

    /// Calls `body` for each batch and returns what was read.
    ///
    /// - Throws: `Failure` that names the file and the record.
    public func forEachBatch(_ body: (ReadBatch) throws -> Void) throws -> ReadBatcher.Counts {
        let batcher = ReadBatcher(layout: layout, labels: paths, keepsNames: keepsNames)
        var streams = try paths.enumerated().map { index, path in
            let inflater = GzipInflater(label: path, threads: threads)
            return (file: try FileReader(path: path), inflater: inflater, mate: Mate(rawValue: index)!)
        }
        while !streams.isEmpty {
            for index in streams.indices.reversed() {
                let (file, inflater, mate) = streams[index]
                let isOpen = try file.next { bytes in
                    try inflater.feed(bytes) { try batcher.push($0, of: mate, emit: body) }
                }
                if !isOpen {
                    try inflater.finish { try batcher.push($0, of: mate, emit: body) }
                    try batcher.finish(mate, emit: body)
                    streams.remove(at: index)
                }
            }
        }
        return batcher.counts
    }
}

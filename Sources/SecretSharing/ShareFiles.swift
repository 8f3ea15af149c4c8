import Diagnostics
import Kernels
public import Randomness
import Storage

/// Where the parts of a share set lie.
public struct SharePaths: Sendable {
    public var a: String
    public var b: String
    public var c: String
    /// The owner's tag keys: secret, never with a holder.
    public var tags: String

    public init(a: String, b: String, c: String, tags: String) {
        self.a = a
        self.b = b
        self.c = c
        self.tags = tags
    }

    public subscript(index: ShareIndex) -> String {
        switch index {
        case .a: a
        case .b: b
        case .c: c
        }
    }
}

/// What a split or refresh made, and the random numbers that it took.
public struct MadeShares: Sendable {
    public let description: ShareSetDescription
    public let randomUse: RandomUse
}

/// A block of a share that is not as its owner made it, or three blocks that do not belong together.
public struct ShareFault: Sendable, Equatable {
    /// The file.
    public let path: String
    /// nil when the three shares contradict each other and no tags say which one is wrong, or the header is unreadable.
    public let share: ShareIndex?
    /// nil when the fault is in the header or in the length.
    public let block: Int?
    public let problem: String
}

/// Split, join, verify, repair, refresh and ranged restore on files. Outputs appear under their names only when whole.
public enum ShareFiles {
    /// Cuts a file into three share files and the owner's tag file.
    ///
    /// - Throws: `.noInput`, `.cannotCreate`, `.inputOutput`, or what the random source throws.
    @discardableResult public static func split(
        _ path: String, to output: SharePaths, objectID: Identifier,
        blockSize: Int = ShareSetDescription.defaultBlockSize, random: any RandomSource
    ) throws -> MadeShares {
        let input = try PositionedFile(path: path, remedy: "leave the file alone while it is split")
        var files: [ShareIndex: PartialFile] = [:]
        for index in ShareIndex.allCases { files[index] = try PartialFile(path: output[index]) }
        let outputs = files
        let splitter = try ShareSplitter(
            objectID: objectID, length: input.size, blockSize: blockSize, random: random
        ) { index, bytes in try outputs[index]?.write(bytes) }
        let buffer = SecureBytes(count: min(max(input.size, 1), 1 << 20))
        var at = 0
        while at < input.size {
            try buffer.withUnsafeMutableBytes { buffer in
                let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, input.size - at)])
                try input.read(piece, at: at)
                try splitter.append(UnsafeRawBufferPointer(piece))
                at += piece.count
            }
        }
        let description = try splitter.finish()
        // Shares without their tags could not be told from altered ones, so the tags are durable first.
        try write(splitter.tags, to: output.tags)
        for index in ShareIndex.allCases { try outputs[index]?.commit() }
        return MadeShares(description: description, randomUse: splitter.randomUse)
    }

    /// Joins two share files into the object. Without tags, altered blocks go unnoticed.
    @discardableResult public static func join(
        _ first: String, _ second: String, tags: ShareTags?, to output: String
    ) throws -> ShareSetDescription {
        let x = try ShareFile(first, tags: tags), y = try ShareFile(second, tags: tags)
        let file = try PartialFile(path: output)
        try restore(0..<x.description.length, x, y) { try file.write($0) }
        try file.commit()
        return x.description
    }

    /// Restores a byte range of the object from the blocks that hold it.
    ///
    /// - Throws: `.usage` for a range outside the object; otherwise as `join`.
    public static func restore(
        _ range: Range<Int>, _ first: String, _ second: String, tags: ShareTags?, sink: ShareJoiner.Sink
    ) throws {
        try restore(range, ShareFile(first, tags: tags), ShareFile(second, tags: tags), sink: sink)
    }

    private static func restore(_ range: Range<Int>, _ x: ShareFile, _ y: ShareFile, sink: ShareJoiner.Sink) throws {
        try x.checkCompatible(with: y)
        let description = x.description
        guard range.lowerBound >= 0, range.upperBound <= description.length else {
            throw Failure(
                .usage, at: "bytes \(range.lowerBound)-\(range.upperBound)",
                "the object has \(description.length) bytes", remedy: "ask for a range inside it")
        }
        guard !range.isEmpty else { return }
        for block in range.lowerBound / description.blockSize...(range.upperBound - 1) / description.blockSize {
            let start = block * description.blockSize
            let wanted = range.clamped(to: start..<start + description.secretBytes(block: block))
            try ShareFile.withBlocks(block, x, y) { first, second in
                defer { wipe(first) }
                ShareJoiner.join(first, x.header.index, UnsafeRawBufferPointer(second), y.header.index)
                try sink(UnsafeRawBufferPointer(rebasing: first[wanted.lowerBound - start..<wanted.upperBound - start]))
            }
        }
    }

    /// Looks at every block of one, two or three share files and lists what is wrong. With tags every fault names its
    /// share and block; without them headers, lengths and, for three shares, the identity A + B = swapped C are
    /// checked.
    ///
    /// - Throws: only when a file cannot be opened or read.
    public static func verify(_ paths: [String], tags: ShareTags?) throws -> [ShareFault] {
        precondition((1...3).contains(paths.count), "one to three shares")
        var faults: [ShareFault] = []
        var files: [ShareFile] = []
        for path in paths {
            do {
                files.append(try ShareFile(path, tags: tags))
            } catch let failure as Failure where failure.kind == .data {
                faults.append(ShareFault(path: path, share: nil, block: nil, problem: failure.problem))
            }
        }
        for (position, file) in files.enumerated() {
            for other in files[..<position] {
                do {
                    try other.checkCompatible(with: file)
                } catch let error as Failure {
                    faults.append(
                        ShareFault(path: file.path, share: file.header.index, block: nil, problem: error.problem))
                    return faults
                }
            }
        }
        for block in 0..<(files.first?.description.blockCount ?? 0) {
            let before = faults.count
            for file in files {
                do {
                    try file.withBlock(block) { _ in }
                } catch let failure as Failure where failure.kind == .data {
                    faults.append(
                        ShareFault(path: file.path, share: file.header.index, block: block, problem: failure.problem))
                }
            }
            guard files.count == 3, faults.count == before else { continue }
            let ordered = files.sorted { $0.header.index < $1.header.index }
            if try !isConsistent(block, ordered) {
                faults.append(
                    ShareFault(
                        path: ordered.map(\.path).joined(separator: ", "), share: nil, block: block,
                        problem: "the three shares contradict each other"))
            }
        }
        return faults
    }

    static func isConsistent(_ block: Int, _ files: [ShareFile]) throws -> Bool {
        try files[0].withBlock(block) { a in
            try files[1].withBlock(block) { b in
                try files[2].withBlock(block) { c in
                    ShareBlock.isConsistent(
                        a: UnsafeRawBufferPointer(a), b: UnsafeRawBufferPointer(b), c: UnsafeRawBufferPointer(c))
                }
            }
        }
    }

    static func write(_ tags: ShareTags, to path: String) throws {
        let file = try PartialFile(path: path)
        try tags.withUnsafeBytes { try file.write($0) }
        try file.commit()
    }

    /// Reads the owner's tag file.
    public static func tags(_ path: String) throws -> ShareTags {
        let file = try PositionedFile(path: path, remedy: "name the tag file of the share set")
        guard file.size <= ShareTags.largestBlob else {
            throw Failure(.data, at: path, "this is not a tag file", remedy: "name the tag file of the share set")
        }
        let blob = SecureBytes(count: file.size)
        try blob.withUnsafeMutableBytes { try file.read($0, at: 0) }
        return try blob.withUnsafeBytes { bytes throws in try ShareTags(reading: bytes, place: path) }
    }
}

import Diagnostics
import Kernels
import Storage

/// A share in a file, read block by block in any order.
final class ShareFile {
    static let remedy = "fetch it again; a share can be repaired from the other two"

    let header: ShareHeader
    let tags: ShareTags?
    private let file: PositionedFile
    private let buffer: SecureBytes

    var path: String { file.path }
    var description: ShareSetDescription { header.description }

    /// Opens a share and checks its header, its length and, with tags, the header's tag.
    init(_ path: String, tags: ShareTags?) throws {
        let file = try PositionedFile(path: path, remedy: ShareFile.remedy)
        self.file = file
        self.tags = tags
        let reader = ShareReader(place: path, tags: tags)
        let head = SecureBytes(count: min(ShareHeader.size, file.size))
        try head.withUnsafeMutableBytes { bytes in
            try file.read(bytes, at: 0)
            _ = try reader.append(UnsafeRawBufferPointer(bytes))
        }
        guard let header = reader.header else {
            try reader.checkEnd()
            preconditionFailure("a share without a header has ended too early")
        }
        let expected = header.description.fileSize
        guard file.size == expected else {
            let complete = (0..<header.description.blockCount).first {
                header.description.fileOffset(block: $0 + 1) > file.size
            }
            throw Failure(
                .data, at: "\(path):share \(header.index), block \(complete ?? header.description.blockCount)",
                "the share has \(file.size) bytes instead of \(expected)",
                remedy: "fetch the share again or repair it from the other two")
        }
        self.header = header
        let largest = header.description.blockCount > 0 ? header.description.payloadBytes(block: 0) : 0
        buffer = SecureBytes(count: largest + ShareTags.tagSize)
    }

    /// Reads a block and hands out its payload, which may be changed in place.
    ///
    /// - Throws: `.data`, naming file, share and block, when the tag is not right.
    func withBlock<Result>(_ block: Int, _ body: (UnsafeMutableRawBufferPointer) throws -> Result) throws -> Result {
        let count = description.payloadBytes(block: block)
        return try buffer.withUnsafeMutableBytes { buffer in
            let whole = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(count + ShareTags.tagSize)])
            try file.read(whole, at: description.fileOffset(block: block))
            if let tags, !tags.accepts(block: block, UnsafeRawBufferPointer(whole), of: header.index) {
                throw Failure(
                    .data, at: "\(path):share \(header.index), block \(block)",
                    "the block does not carry the owner's tag: it was changed",
                    remedy: "use the other two shares, then repair this one")
            }
            return try body(UnsafeMutableRawBufferPointer(rebasing: whole[..<count]))
        }
    }

    /// The same blocks of two files.
    static func withBlocks(
        _ block: Int, _ x: ShareFile, _ y: ShareFile,
        _ body: (UnsafeMutableRawBufferPointer, UnsafeMutableRawBufferPointer) throws -> Void
    ) throws {
        try x.withBlock(block) { first in try y.withBlock(block) { second in try body(first, second) } }
    }

    func checkCompatible(with other: ShareFile) throws {
        try ShareHeader.checkCompatible(header, path, other.header, other.path)
    }
}

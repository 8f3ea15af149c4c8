internal import Diagnostics

/// How much work deflate does. The bytes of either level are a function of the input alone: not of the threads, the
/// processor or its instruction sets.
public enum CompressionLevel: String, Sendable, CaseIterable {
    /// The project's own kernel (`CKernels/deflate`): about seven times the speed of ``compact`` on FASTQ and five on
    /// VCF of one sample, up to 13 % larger; VCF of thousands of samples becomes a third larger. For files that are soon
    /// read again.
    case fast
    /// What Debian's bgzip makes by default, byte for byte: libdeflate's level 7. For files that are kept or sent.
    case compact
}

/// Constants and block headers of BGZF, the blocked gzip of SAM specification section 4.1.
public enum BGZF {
    /// Uncompressed bytes per block, as in bgzip: leaves room for blocks that deflate cannot shrink.
    public static let blockPayload = 0xff00
    /// The largest block, compressed or uncompressed.
    public static let maximumBlockSize = 1 << 16
    /// The empty block that ends every whole BGZF file.
    public static let endMarker: [UInt8] = [
        0x1f, 0x8b, 0x08, 0x04, 0, 0, 0, 0, 0, 0xff, 0x06, 0, 0x42, 0x43, 0x02, 0, 0x1b, 0, 0x03, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    ]
    /// Gives out empty blocks that make `length` bytes a multiple of `multiple`. An empty block has 28 bytes, or as many
    /// times five more as it holds empty stored blocks.
    static func emptyBlocks(
        lengthening length: Int, toMultipleOf multiple: Int, emit: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        precondition(multiple > 0)
        var missing = (multiple - length % multiple) % multiple
        let smallest = endMarker.count
        // With five blocks every remainder of five is reached; where there is no room for them, the next multiple is meant.
        while missing > 0 && missing < 5 * smallest { missing += multiple }
        let largest = maximumBlockSize - 3
        var blocks = (missing + largest - 1) / largest
        while (missing - smallest * blocks) % 5 != 0 { blocks += 1 }
        while blocks > 0 {
            let size = min(largest, missing - smallest * (blocks - 1))
            var block = Array(endMarker[0..<headerSize])
            for _ in 0..<(size - smallest) / 5 { block += [0, 0, 0, 0xff, 0xff] }
            block += endMarker[headerSize...]
            block[16] = UInt8(truncatingIfNeeded: size - 1)
            block[17] = UInt8(truncatingIfNeeded: (size - 1) >> 8)
            try block.withUnsafeBytes { try emit($0) }
            missing -= size
            blocks -= 1
        }
    }

    static let headerSize = 18
    /// CRC32 and length of the plain bytes.
    static let trailerSize = 8

    /// The whole size of the block at `bytes`, or nil when the bytes are no BGZF block header (18 bytes are enough).
    static func blockSize(at bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count >= headerSize, bytes[0] == 0x1f, bytes[1] == 0x8b, bytes[2] == 8, bytes[3] == 4,
            bytes[10] == 6, bytes[11] == 0, bytes[12] == 66, bytes[13] == 67, bytes[14] == 2, bytes[15] == 0
        else { return nil }
        return (Int(bytes[16]) | Int(bytes[17]) << 8) + 1
    }

    /// The uncompressed size that a whole block declares.
    ///
    /// - Throws: ``Failure`` `.data` when the block is too small to be one, or declares more than 64 KiB.
    static func payloadSize(ofBlock block: UnsafeRawBufferPointer, label: String, offset: Int) throws -> Int {
        guard block.count >= headerSize + trailerSize + 2 else {
            throw damage(label, offset, "BGZF block size is too small to be true")
        }
        let size = Int(littleEndian32(block, block.count - 4))
        guard size <= maximumBlockSize else { throw damage(label, offset, "BGZF block declares more than 64 KiB") }
        return size
    }

    static func littleEndian32(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
    }
}

/// What every error about damaged bytes says, but for the problem.
func damage(_ label: String, _ offset: Int, _ problem: String) -> Failure {
    Failure(.data, at: "\(label):byte \(offset)", problem, remedy: "the file is damaged: fetch it again")
}

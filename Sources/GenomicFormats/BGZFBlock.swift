import CDeflate
import Diagnostics
import Glibc

/// Constants and block-level operations of BGZF, the blocked gzip of SAM specification section 4.1.
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
    static let headerSize = 18

    /// The whole size of the block at `bytes`, or nil when the bytes are no BGZF block header (18 bytes are enough).
    static func blockSize(at bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count >= headerSize, bytes[0] == 0x1f, bytes[1] == 0x8b, bytes[2] == 8, bytes[3] == 4,
            bytes[10] == 6, bytes[11] == 0, bytes[12] == 66, bytes[13] == 67, bytes[14] == 2, bytes[15] == 0
        else { return nil }
        return (Int(bytes[16]) | Int(bytes[17]) << 8) + 1
    }

    static func littleEndian32(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
    }

    /// The uncompressed size that a whole block declares.
    static func payloadSize(ofBlock block: UnsafeRawBufferPointer, label: String, offset: Int) throws -> Int {
        guard block.count >= headerSize + 10 else {
            throw Failure(
                .data, at: "\(label):byte \(offset)", "BGZF block size is too small to be true",
                remedy: "the file is damaged: fetch it again")
        }
        let size = Int(littleEndian32(block, block.count - 4))
        guard size <= maximumBlockSize else {
            throw Failure(
                .data, at: "\(label):byte \(offset)", "BGZF block declares more than 64 KiB",
                remedy: "the file is damaged: fetch it again")
        }
        return size
    }
}

/// Inflates whole BGZF blocks with libdeflate, checking size and CRC32. Not for use by two threads at once.
final class BGZFBlockInflater {
    private let decompressor: OpaquePointer

    init() {
        guard let decompressor = libdeflate_alloc_decompressor() else { outOfMemory(bytes: 1 << 20, for: "compression") }
        self.decompressor = decompressor
    }

    deinit { libdeflate_free_decompressor(decompressor) }

    /// - Parameter output: exactly as long as the block declares.
    func inflate(
        _ block: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, label: String, offset: Int
    ) throws {
        let status = libdeflate_deflate_decompress(
            decompressor, block.baseAddress! + BGZF.headerSize, block.count - BGZF.headerSize - 8, output.baseAddress,
            output.count, nil)
        guard status == LIBDEFLATE_SUCCESS else {
            throw Failure(
                .data, at: "\(label):byte \(offset)", "BGZF block cannot be inflated",
                remedy: "the file is damaged: fetch it again")
        }
        let crc = libdeflate_crc32(0, output.baseAddress, output.count)
        guard crc == BGZF.littleEndian32(block, block.count - 8) else {
            throw Failure(
                .data, at: "\(label):byte \(offset)", "BGZF block has a wrong CRC32",
                remedy: "the file is damaged: fetch it again")
        }
    }
}

/// Deflates payloads to BGZF blocks with libdeflate. Not for use by two threads at once.
final class BGZFBlockDeflater {
    private let compressor: OpaquePointer
    private let storedCompressor: OpaquePointer

    /// - Parameter level: 0 (stored) to 12 (smallest).
    init(level: Int) {
        precondition((0...12).contains(level), "BGZF levels are 0 to 12")
        guard let compressor = libdeflate_alloc_compressor(Int32(level)),
            let stored = libdeflate_alloc_compressor(0)
        else { outOfMemory(bytes: 1 << 20, for: "compression") }
        self.compressor = compressor
        storedCompressor = stored
    }

    deinit {
        libdeflate_free_compressor(compressor)
        libdeflate_free_compressor(storedCompressor)
    }

    /// Writes one block to `output` (at least 64 KiB) and returns its size.
    func deflate(_ payload: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int {
        precondition(payload.count <= BGZF.blockPayload && output.count >= BGZF.maximumBlockSize)
        let room = BGZF.maximumBlockSize - BGZF.headerSize - 8
        let target = output.baseAddress! + BGZF.headerSize
        var size = libdeflate_deflate_compress(compressor, payload.baseAddress, payload.count, target, room)
        if size == 0 {
            size = libdeflate_deflate_compress(storedCompressor, payload.baseAddress, payload.count, target, room)
        }
        precondition(size > 0, "a stored block always fits")
        let total = size + BGZF.headerSize + 8
        BGZF.endMarker.withUnsafeBytes { output.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[0..<16])) }
        output.storeBytes(of: UInt16(total - 1).littleEndian, toByteOffset: 16, as: UInt16.self)
        let crc = libdeflate_crc32(0, payload.baseAddress, payload.count)
        output.storeBytes(of: crc.littleEndian, toByteOffset: total - 8, as: UInt32.self)
        output.storeBytes(of: UInt32(payload.count).littleEndian, toByteOffset: total - 4, as: UInt32.self)
        return total
    }
}

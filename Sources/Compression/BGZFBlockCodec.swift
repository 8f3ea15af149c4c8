internal import CDeflate
internal import CISAL
internal import CKernels
internal import Diagnostics

/// Inflates whole BGZF blocks. Not for use by two threads at once.
///
/// libdeflate inflates, ISA-L computes the CRC32: on blocks of FASTQ and VCF libdeflate needs less time than ISA-L's
/// inflate, and ISA-L's CRC32 a quarter of libdeflate's, which is 6 to 20 % of the whole. Blocks of the fast level with
/// nearly all qualities as literals are the exception, where ISA-L was seen faster (`dsgd bench kernels`).
package final class BGZFBlockInflater {
    private let decompressor: OpaquePointer

    package init() {
        guard let decompressor = libdeflate_alloc_decompressor() else { outOfMemory(bytes: 1 << 16, for: "inflating") }
        self.decompressor = decompressor
    }

    deinit { libdeflate_free_decompressor(decompressor) }

    /// - Parameters:
    ///   - output: exactly as long as the block declares.
    ///   - label: with `offset`, the place of the block in error messages.
    /// - Throws: `Failure` `.data` when deflate data, CRC32 or either size is wrong.
    package func inflate(
        _ block: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, label: String, offset: Int
    ) throws {
        let size = block.count - BGZF.headerSize - BGZF.trailerSize
        var used = 0
        let status = libdeflate_deflate_decompress_ex(
            decompressor, block.baseAddress! + BGZF.headerSize, size, output.baseAddress, output.count, &used, nil)
        guard status == LIBDEFLATE_SUCCESS else { throw damage(label, offset, "BGZF block cannot be inflated") }
        guard used == size else { throw damage(label, offset, "BGZF block is longer than its deflate data") }
        guard crc32(UnsafeRawBufferPointer(output)) == BGZF.littleEndian32(block, block.count - 8) else {
            throw damage(label, offset, "BGZF block has a wrong CRC32")
        }
    }
}

/// Deflates payloads to BGZF blocks. Not for use by two threads at once.
///
/// ISA-L's deflate has no part here: on VCF it makes files a third larger than bgzip's, and its level 3 makes other
/// bytes on other processors (levels 0 to 2 made the same on all that were tried; nothing promises it).
package final class BGZFBlockDeflater {
    private enum Backend {
        case kernel(scratch: UnsafeMutableRawPointer)
        case libdeflate(OpaquePointer)
    }

    /// libdeflate's level that htslib 1.16, and so Debian's bgzip, takes by default.
    private static let compactLevel: Int32 = 7

    private let backend: Backend

    package init(_ level: CompressionLevel) {
        switch level {
        case .fast:
            let bytes = ck_deflate_scratch_bytes()
            backend = .kernel(scratch: .allocate(byteCount: bytes, alignment: 64))
        case .compact:
            guard let compressor = libdeflate_alloc_compressor(Self.compactLevel) else {
                outOfMemory(bytes: 1 << 20, for: "compression")
            }
            backend = .libdeflate(compressor)
        }
    }

    deinit {
        switch backend {
        case .kernel(let scratch): scratch.deallocate()
        case .libdeflate(let compressor): libdeflate_free_compressor(compressor)
        }
    }

    /// Writes one block to `output` (at least 64 KiB) and returns its size.
    package func deflate(_ payload: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int {
        precondition(payload.count <= BGZF.blockPayload && output.count >= BGZF.maximumBlockSize)
        let target = output.baseAddress! + BGZF.headerSize
        let size: Int
        switch backend {
        case .kernel(let scratch): size = ck_deflate(scratch, target, payload.baseAddress, payload.count)
        case .libdeflate(let compressor):
            // Blocks that do not shrink are stored by libdeflate: five bytes, and five more for each 64 KiB.
            size = libdeflate_deflate_compress(
                compressor, payload.baseAddress, payload.count, target,
                BGZF.maximumBlockSize - BGZF.headerSize - BGZF.trailerSize)
        }
        precondition(size > 0, "a stored block always fits")
        let total = BGZF.headerSize + size + BGZF.trailerSize
        BGZF.endMarker.withUnsafeBytes { output.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[0..<16])) }
        output.storeBytes(of: UInt16(total - 1).littleEndian, toByteOffset: 16, as: UInt16.self)
        output.storeBytes(of: crc32(payload).littleEndian, toByteOffset: total - 8, as: UInt32.self)
        output.storeBytes(of: UInt32(payload.count).littleEndian, toByteOffset: total - 4, as: UInt32.self)
        return total
    }
}

/// CRC-32 of RFC 1952 over `bytes`, going on from an earlier one.
func crc32(_ bytes: UnsafeRawBufferPointer, after earlier: UInt32 = 0) -> UInt32 {
    guard let base = bytes.baseAddress else { return earlier }
    return crc32_gzip_refl(earlier, base.assumingMemoryBound(to: UInt8.self), UInt64(bytes.count))
}

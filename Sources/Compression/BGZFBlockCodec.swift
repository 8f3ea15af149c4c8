internal import CDeflate
internal import CISAL
internal import CKernels
internal import Diagnostics
internal import Glibc

/// Inflates whole BGZF blocks. Not for use by two threads at once.
///
/// libdeflate and ISA-L take turns: which is faster depends on the text. ISA-L needs a sixth less time for VCF of one
/// sample, libdeflate for FASTQ and for VCF of many samples (`dsgd bench kernels`), so every 32nd block is given to the
/// one that was slower. A block is good when either of them makes the declared bytes of it, so that the verdict does not
/// depend on whose turn it was; libdeflate says what is wrong with one that neither takes. ISA-L computes the CRC32, in a
/// quarter of libdeflate's time.
package final class BGZFBlockInflater {
    private static let blocksBetweenTrials = 32

    private let decompressor: OpaquePointer
    private let state: UnsafeMutablePointer<inflate_state>
    /// The least nanoseconds for a byte of late: of libdeflate, of ISA-L.
    private var cost = (libdeflate: 0.0, isal: 0.0)
    private var blocks = 0

    package init() {
        guard let decompressor = libdeflate_alloc_decompressor() else { outOfMemory(bytes: 1 << 16, for: "inflating") }
        self.decompressor = decompressor
        state = .allocate(capacity: 1)
        isal_inflate_init(state)
    }

    deinit {
        libdeflate_free_decompressor(decompressor)
        state.deallocate()
    }

    /// - Parameters:
    ///   - output: exactly as long as the block declares.
    ///   - label: with `offset`, the place of the block in error messages.
    /// - Throws: `Failure` `.data` when deflate data, CRC32 or either size is wrong.
    package func inflate(
        _ block: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, label: String, offset: Int
    ) throws {
        let data = UnsafeRawBufferPointer(rebasing: block[BGZF.headerSize..<block.count - BGZF.trailerSize])
        let wanted = BGZF.littleEndian32(block, block.count - 8)
        blocks += 1
        let isTrial = blocks % Self.blocksBetweenTrials == 0
        let start = monotonicNanoseconds()
        let isalIsFirst = (cost.isal <= cost.libdeflate) != isTrial
        if isalIsFirst {
            let isInflated = inflateByISAL(data, into: output, crc: wanted)
            note(start, output.count, &cost.isal)
            if isInflated { return }
        }
        if let problem = problemByLibdeflate(data, into: output, crc: wanted) {
            guard !isalIsFirst, inflateByISAL(data, into: output, crc: wanted) else {
                throw damage(label, offset, problem)
            }
        } else {
            note(start, output.count, &cost.libdeflate)
        }
    }

    private func problemByLibdeflate(
        _ data: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, crc: UInt32
    ) -> String? {
        var used = 0
        let status = libdeflate_deflate_decompress_ex(
            decompressor, data.baseAddress, data.count, output.baseAddress, output.count, &used, nil)
        if status != LIBDEFLATE_SUCCESS { return "BGZF block cannot be inflated" }
        if used != data.count { return "BGZF block is longer than its deflate data" }
        return crc32(UnsafeRawBufferPointer(output)) == crc ? nil : "BGZF block has a wrong CRC32"
    }

    /// Whether all of `data` gave all of `output`.
    private func inflateByISAL(
        _ data: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, crc: UInt32
    ) -> Bool {
        isal_inflate_reset(state)
        state.pointee.crc_flag = UInt32(ISAL_DEFLATE)
        state.pointee.next_in = UnsafeMutablePointer(mutating: data.baseAddress!.assumingMemoryBound(to: UInt8.self))
        state.pointee.avail_in = UInt32(data.count)
        state.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        state.pointee.avail_out = UInt32(output.count)
        return !output.isEmpty && isal_inflate_stateless(state) == ISAL_DECOMP_OK
            && state.pointee.block_state == ISAL_BLOCK_FINISH && state.pointee.avail_in == 0
            && state.pointee.avail_out == 0 && crc32(UnsafeRawBufferPointer(output)) == crc
    }

    /// Short blocks tell nothing. An old figure loses weight, so that a change in the text is noticed.
    private func note(_ start: UInt64, _ bytes: Int, _ cost: inout Double) {
        guard bytes >= 1 << 12 else { return }
        let latest = Double(monotonicNanoseconds() - start) / Double(bytes)
        cost = cost == 0 ? latest : min(latest, cost * 1.05)
    }
}

private func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
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

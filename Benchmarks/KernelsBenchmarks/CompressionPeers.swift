internal import CDeflate
internal import CISAL
internal import CZlib

/// Blocks of a BGZF file begin with 18 bytes of header and end with CRC32 and length.
private let headerSize = 18
private let trailerSize = 8

/// libdeflate as htslib calls it: deflate data and CRC32 of each block.
final class LibdeflatePeer {
    private let compressor: OpaquePointer
    private let decompressor = libdeflate_alloc_decompressor()!

    init(level: Int32) { compressor = libdeflate_alloc_compressor(level)! }

    deinit {
        libdeflate_free_compressor(compressor)
        libdeflate_free_decompressor(decompressor)
    }

    func deflate(_ plain: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) -> Int {
        let room = out.count - headerSize - trailerSize
        let size = libdeflate_deflate_compress(
            compressor, plain.baseAddress, plain.count, out.baseAddress! + headerSize, room)
        out.storeBytes(
            of: libdeflate_crc32(0, plain.baseAddress, plain.count), toByteOffset: headerSize + size, as: UInt32.self)
        return headerSize + size + trailerSize
    }

    func inflate(_ block: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) {
        let status = libdeflate_deflate_decompress(
            decompressor, block.baseAddress! + headerSize, block.count - headerSize - trailerSize, out.baseAddress,
            out.count, nil)
        let crc = libdeflate_crc32(0, out.baseAddress, out.count)
        precondition(
            status == LIBDEFLATE_SUCCESS
                && crc == block.loadUnaligned(fromByteOffset: block.count - 8, as: UInt32.self))
    }
}

/// ISA-L: deflate at level 1, inflate in one call.
final class ISALPeer {
    private let stream = UnsafeMutablePointer<isal_zstream>.allocate(capacity: 1)
    private let state = UnsafeMutablePointer<inflate_state>.allocate(capacity: 1)
    private let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 19)

    init() {
        isal_deflate_stateless_init(stream)
        isal_inflate_init(state)
    }

    deinit {
        stream.deallocate()
        state.deallocate()
        buffer.deallocate()
    }

    func deflate(_ plain: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) -> Int {
        isal_deflate_stateless_init(stream)
        let room = out.count - headerSize - trailerSize
        stream.pointee.level = 1
        stream.pointee.level_buf = buffer
        stream.pointee.level_buf_size = 1 << 19
        stream.pointee.end_of_stream = 1
        stream.pointee.next_in = UnsafeMutablePointer(mutating: plain.baseAddress!.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(plain.count)
        stream.pointee.next_out = (out.baseAddress! + headerSize).assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(room)
        precondition(isal_deflate_stateless(stream) == COMP_OK)
        let size = room - Int(stream.pointee.avail_out)
        let crc = crc32_gzip_refl(0, plain.baseAddress!.assumingMemoryBound(to: UInt8.self), UInt64(plain.count))
        out.storeBytes(of: crc, toByteOffset: headerSize + size, as: UInt32.self)
        return headerSize + size + trailerSize
    }

    func inflate(_ block: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) {
        isal_inflate_reset(state)
        state.pointee.next_in = UnsafeMutablePointer(
            mutating: (block.baseAddress! + headerSize).assumingMemoryBound(to: UInt8.self))
        state.pointee.avail_in = UInt32(block.count - headerSize - trailerSize)
        state.pointee.next_out = out.baseAddress!.assumingMemoryBound(to: UInt8.self)
        state.pointee.avail_out = UInt32(out.count)
        let status = isal_inflate_stateless(state)
        let crc = crc32_gzip_refl(0, out.baseAddress!.assumingMemoryBound(to: UInt8.self), UInt64(out.count))
        precondition(
            status == ISAL_DECOMP_OK && crc == block.loadUnaligned(fromByteOffset: block.count - 8, as: UInt32.self))
    }
}

/// zlib, which most programs read gzip with.
final class ZlibPeer {
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

    init() {
        stream.initialize(to: z_stream())
        inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// One member, as gzip writes it by default.
    func gzip(_ plain: [UInt8]) -> [UInt8] {
        var stream = z_stream()
        let size = Int32(MemoryLayout<z_stream>.size)
        deflateInit2_(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, size)
        defer { deflateEnd(&stream) }
        var plain = plain
        return plain.withUnsafeMutableBufferPointer { plain in
            [UInt8](unsafeUninitializedCapacity: plain.count + 1_000) { out, count in
                stream.next_in = plain.baseAddress
                stream.avail_in = UInt32(plain.count)
                stream.next_out = out.baseAddress
                stream.avail_out = UInt32(out.count)
                precondition(deflate(&stream, Z_FINISH) == Z_STREAM_END)
                count = out.count - Int(stream.avail_out)
            }
        }
    }

    func inflate(_ block: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) {
        inflate(block, through: out)
    }

    /// Inflates one member, overwriting `room` as often as it takes.
    func inflate(_ member: UnsafeRawBufferPointer, through room: UnsafeMutableRawBufferPointer) {
        inflateReset(stream)
        stream.pointee.next_in = UnsafeMutablePointer(mutating: member.baseAddress!.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(member.count)
        var status = Z_OK
        while status == Z_OK {
            stream.pointee.next_out = room.baseAddress!.assumingMemoryBound(to: UInt8.self)
            stream.pointee.avail_out = UInt32(room.count)
            status = CZlib.inflate(stream, Z_NO_FLUSH)
        }
        precondition(status == Z_STREAM_END)
    }
}

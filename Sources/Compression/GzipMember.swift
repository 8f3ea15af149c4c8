internal import CISAL
internal import Diagnostics

/// One gzip member (RFC 1952) of any length, pushed in pieces: header, deflate data, CRC32 and length are all checked.
///
/// ISA-L inflates: three to five times zlib's speed on FASTQ, and libdeflate has no streaming.
final class GzipMember {
    /// What of the header comes next; `flags` says which of the optional fields are there.
    private enum Part { case fixed, extraSize, extra, name, comment, checksum, body, end }

    private let state: UnsafeMutablePointer<inflate_state>
    private var part = Part.end
    private var flags: UInt8 = 0
    /// Bytes of the present part that were seen, and its value or length where it is a number.
    private var seen = 0
    private var number = 0
    private var headerChecksum: UInt32 = 0

    init() {
        state = .allocate(capacity: 1)
        isal_inflate_init(state)
    }

    deinit { state.deallocate() }

    /// Prepares for the next member.
    func start() {
        isal_inflate_reset(state)
        state.pointee.crc_flag = UInt32(ISAL_GZIP_NO_HDR_VER)
        part = .fixed
        seen = 0
        number = 0
        headerChecksum = 0
    }

    /// Takes bytes from the front of `input` up to the end of the member; `output` is the room that each call of
    /// `deliver` has. Returns whether the member is complete.
    ///
    /// - Parameters:
    ///   - offset: of `input` in the file; moves on with it.
    ///   - deliver: takes what was inflated, and how far into the file ISA-L has read for it.
    func inflate(
        _ input: inout UnsafeRawBufferPointer, offset: inout Int, label: String,
        through output: UnsafeMutableRawBufferPointer,
        deliver: (_ bytes: UnsafeRawBufferPointer, _ place: Int) throws -> Void
    ) throws -> Bool {
        while part != .body {
            guard let byte = input.first else { return false }
            try takeHeader(byte, label, offset)
            input = UnsafeRawBufferPointer(rebasing: input[1...])
            offset += 1
        }
        while !input.isEmpty {
            let given = min(input.count, 1 << 30)
            state.pointee.next_in = UnsafeMutablePointer(
                mutating: input.baseAddress!.assumingMemoryBound(to: UInt8.self))
            state.pointee.avail_in = UInt32(given)
            try inflateGiven(given, offset, label, output, deliver)
            let used = given - Int(state.pointee.avail_in)
            offset += used
            input = UnsafeRawBufferPointer(rebasing: input[used...])
            if state.pointee.block_state == ISAL_BLOCK_FINISH {
                part = .end
                return true
            }
        }
        return false
    }

    /// Inflates until ISA-L has taken all that it was given and has given out all that it has, or the member ends.
    private func inflateGiven(
        _ given: Int, _ offset: Int, _ label: String, _ output: UnsafeMutableRawBufferPointer,
        _ deliver: (_ bytes: UnsafeRawBufferPointer, _ place: Int) throws -> Void
    ) throws {
        while true {
            let before = state.pointee.avail_in
            state.pointee.next_out = output.baseAddress!.assumingMemoryBound(to: UInt8.self)
            state.pointee.avail_out = UInt32(output.count)
            let status = isal_inflate(state)
            let place = offset + given - Int(state.pointee.avail_in)
            if status == ISAL_INCORRECT_CHECKSUM {
                throw damage(label, place, "gzip data is corrupt: CRC32 or length is wrong")
            }
            guard status == ISAL_DECOMP_OK || status == ISAL_END_INPUT || status == ISAL_OUT_OVERFLOW else {
                throw damage(label, place, "gzip data is corrupt")
            }
            let made = output.count - Int(state.pointee.avail_out)
            if made > 0 { try deliver(UnsafeRawBufferPointer(rebasing: output[0..<made]), place) }
            if state.pointee.block_state == ISAL_BLOCK_FINISH { return }
            if made < output.count {
                if state.pointee.avail_in == 0 { return }
                guard made > 0 || state.pointee.avail_in < before else {
                    throw damage(label, place, "gzip data is corrupt")
                }
            }
        }
    }

    private func takeHeader(_ byte: UInt8, _ label: String, _ offset: Int) throws {
        if part != .checksum {
            headerChecksum = withUnsafeBytes(of: byte) { crc32($0, after: headerChecksum) }
        }
        seen += 1
        switch part {
        case .fixed:
            let expected: UInt8? = seen == 1 ? 0x1f : seen == 2 ? 0x8b : seen == 3 ? 8 : nil
            if let expected, byte != expected {
                throw damage(label, offset, seen == 3 ? "gzip method is not deflate" : "gzip header is corrupt")
            }
            if seen == 4 {
                flags = byte
                guard flags & 0xe0 == 0 else { throw damage(label, offset, "gzip header has unknown flags") }
            }
            if seen == 10 { enter(.extraSize) }
        case .extraSize, .checksum:
            number |= Int(byte) << (8 * (seen - 1))
            if seen < 2 { return }
            if part == .extraSize {
                enter(.extra)
            } else {
                guard number == Int(headerChecksum & 0xffff) else {
                    throw damage(label, offset, "gzip header has a wrong CRC16")
                }
                enter(.body)
            }
        case .extra: if seen == number { enter(.name) }
        case .name: if byte == 0 { enter(.comment) }
        case .comment: if byte == 0 { enter(.checksum) }
        case .body, .end: preconditionFailure("the header is over")
        }
    }

    /// Goes to `next`, or to the part behind it when the header has no such field.
    private func enter(_ next: Part) {
        seen = 0
        if next != .extra { number = 0 }
        part = next
        switch next {
        case .extraSize where flags & 4 == 0: enter(.name)
        case .extra where number == 0: enter(.name)
        case .name where flags & 8 == 0: enter(.comment)
        case .comment where flags & 16 == 0: enter(.checksum)
        case .checksum where flags & 2 == 0: enter(.body)
        default: break
        }
    }
}

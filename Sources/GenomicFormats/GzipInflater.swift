import CZlib
import Diagnostics

/// Turns pushed bytes into plain bytes: gzip of one or many members, BGZF, or input that was never compressed.
///
/// The kind is told by the first two bytes. Whole BGZF blocks go through libdeflate, all else through zlib. Offsets in
/// errors count compressed bytes from the start of the input.
public final class GzipInflater {
    /// Bounds on what a small input may grow into.
    public struct Limits: Sendable {
        /// Output bytes per input byte. Deflate itself cannot pass 1,032.
        public var maximumRatio: Int
        /// Output bytes in all; nil for no bound.
        public var maximumOutput: Int?
        /// Whether BGZF input must end with its end marker. Without it, a file cut between blocks looks whole.
        public var requiresBGZFEndMarker: Bool

        public init(maximumRatio: Int = 1_100, maximumOutput: Int? = nil, requiresBGZFEndMarker: Bool = true) {
            self.maximumRatio = maximumRatio
            self.maximumOutput = maximumOutput
            self.requiresBGZFEndMarker = requiresBGZFEndMarker
        }
    }

    public typealias Emit = (UnsafeRawBufferPointer) throws -> Void

    private enum State { case detecting, plain, betweenMembers, member, block, padding }

    public let label: String
    /// Bytes taken in and given out.
    public private(set) var inputBytes = 0
    public private(set) var outputBytes = 0
    /// Whether the input began with gzip's magic bytes.
    public var isCompressed: Bool { state != .plain && state != .detecting }
    /// Whether the last member was a BGZF block, and not the end marker.
    public private(set) var lacksBGZFEndMarker = false

    private let limits: Limits
    private let onlyBGZF: Bool
    private var state = State.detecting
    private var pending: [UInt8] = []
    private var wanted = BGZF.headerSize
    private var offset = 0
    private let stream: UnsafeMutablePointer<z_stream>
    private var streamIsOpen = false
    private let blockInflater = BGZFBlockInflater()
    private let output: UnsafeMutableRawBufferPointer

    /// - Parameter label: the name of the input in error messages.
    public convenience init(label: String, limits: Limits = Limits()) {
        self.init(label: label, limits: limits, onlyBGZF: false)
    }

    init(label: String, limits: Limits, onlyBGZF: Bool) {
        self.label = label
        self.onlyBGZF = onlyBGZF
        self.limits = limits
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        output = .allocate(byteCount: 1 << 18, alignment: 64)
    }

    deinit {
        if streamIsOpen { inflateEnd(stream) }
        stream.deinitialize(count: 1)
        stream.deallocate()
        output.deallocate()
    }

    /// Takes the next bytes of the input and gives out what they inflate to, in order.
    public func feed(_ bytes: UnsafeRawBufferPointer, emit: Emit) throws {
        inputBytes += bytes.count
        var rest = bytes
        while !rest.isEmpty {
            switch state {
            case .plain:
                try deliver(rest, emit)
                return
            case .padding:
                try checkPadding(rest)
                return
            case .member: try inflateMember(&rest, emit)
            case .detecting, .betweenMembers, .block: try collect(&rest, emit)
            }
        }
    }

    /// Says that the input is over.
    ///
    /// - Throws: ``Failure`` `.data` when it stops inside a member, or without BGZF's end marker where that is
    ///   required.
    public func finish(emit: Emit) throws {
        switch state {
        case .plain, .padding: break
        case .detecting:
            let bytes = pending
            pending = []
            guard bytes.first != 0x1f || bytes.count == 1 else { throw truncated }
            try bytes.withUnsafeBytes { if !$0.isEmpty { try deliver($0, emit) } }
        case .betweenMembers:
            if pending.allSatisfy({ $0 == 0 }) { break }
            guard pending.count >= 2, pending[0] == 0x1f, pending[1] == 0x8b else { throw trailingGarbage }
            throw truncated
        case .member, .block: throw truncated
        }
        if lacksBGZFEndMarker && limits.requiresBGZFEndMarker {
            throw Failure(
                .data, at: "\(label):byte \(inputBytes)", "BGZF end marker is missing, the file is probably truncated",
                remedy: "fetch the file again, or pass it through bgzip again if it is known to be whole")
        }
    }

    private var truncated: Failure {
        Failure(
            .data, at: "\(label):byte \(inputBytes)", "gzip data is truncated",
            remedy: "the file is not whole: fetch it again")
    }

    private var trailingGarbage: Failure {
        Failure(
            .data, at: "\(label):byte \(offset)", "bytes that are no gzip follow the end of the gzip data",
            remedy: "the file is damaged or something was appended: fetch it again")
    }

    private var notBGZF: Failure {
        Failure(.data, at: "\(label):byte \(offset)", "is not BGZF", remedy: "compress the file with bgzip")
    }

    private func deliver(_ bytes: UnsafeRawBufferPointer, _ emit: Emit) throws {
        outputBytes += bytes.count
        if let cap = limits.maximumOutput, outputBytes > cap {
            throw Failure(
                .data, at: "\(label):byte \(offset)", "inflates to more than the \(cap) bytes allowed",
                remedy: "raise the limit if the input is known to be sound")
        }
        let (allowed, overflow) = inputBytes.multipliedReportingOverflow(by: limits.maximumRatio)
        if state != .plain && !overflow && outputBytes > allowed {
            throw Failure(
                .data, at: "\(label):byte \(offset)", "inflates to more than \(limits.maximumRatio) times its size",
                remedy: "this is a decompression bomb or damaged: refuse it")
        }
        try emit(bytes)
    }

    private func checkPadding(_ bytes: UnsafeRawBufferPointer) throws {
        guard bytes.allSatisfy({ $0 == 0 }) else { throw trailingGarbage }
    }

    /// At the start of a member, or inside a BGZF block: gathers the bytes that the next decision needs.
    private func collect(_ rest: inout UnsafeRawBufferPointer, _ emit: Emit) throws {
        if pending.isEmpty && state != .block {
            while let size = BGZF.blockSize(at: rest), size <= rest.count {
                try inflateBlock(UnsafeRawBufferPointer(rebasing: rest[0..<size]), emit)
                rest = UnsafeRawBufferPointer(rebasing: rest[size...])
            }
            if rest.isEmpty { return }
        }
        let taken = min(wanted - pending.count, rest.count)
        pending.append(contentsOf: rest[0..<taken])
        rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
        if state != .block && pending.count >= 2 && !(pending[0] == 0x1f && pending[1] == 0x8b) {
            try notGzip(emit)
            return
        }
        guard pending.count == wanted else { return }
        if state == .block {
            let block = pending
            pending.removeAll(keepingCapacity: true)
            wanted = BGZF.headerSize
            try block.withUnsafeBytes { try inflateBlock($0, emit) }
        } else if let size = pending.withUnsafeBytes({ BGZF.blockSize(at: $0) }) {
            guard size > BGZF.headerSize + 8 else {
                throw Failure(
                    .data, at: "\(label):byte \(offset)", "BGZF block size is too small to be true",
                    remedy: "the file is damaged: fetch it again")
            }
            state = .block
            wanted = size
        } else {
            if onlyBGZF { throw notBGZF }
            try startMember()
            let head = pending
            pending.removeAll(keepingCapacity: true)
            try head.withUnsafeBytes {
                var piece = $0
                try inflateMember(&piece, emit)
                precondition(piece.isEmpty, "no gzip member is shorter than 20 bytes")
            }
        }
    }

    private func notGzip(_ emit: Emit) throws {
        let bytes = pending
        if state == .detecting {
            if onlyBGZF { throw notBGZF }
            state = .plain
            pending = []
            try bytes.withUnsafeBytes { try deliver($0, emit) }
        } else {
            guard bytes.allSatisfy({ $0 == 0 }) else { throw trailingGarbage }
            state = .padding
        }
    }

    private func inflateBlock(_ block: UnsafeRawBufferPointer, _ emit: Emit) throws {
        state = .betweenMembers
        let size = try BGZF.payloadSize(ofBlock: block, label: label, offset: offset)
        let target = UnsafeMutableRawBufferPointer(rebasing: output[0..<size])
        try blockInflater.inflate(block, into: target, label: label, offset: offset)
        offset += block.count
        lacksBGZFEndMarker = size != 0
        if size > 0 { try deliver(UnsafeRawBufferPointer(target), emit) }
    }

    private func startMember() throws {
        let status =
            streamIsOpen
            ? inflateReset(stream)
            : inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        guard status == Z_OK else {
            throw Failure(.internalError, at: label, "zlib cannot start", remedy: "free some memory and try again")
        }
        streamIsOpen = true
        state = .member
        lacksBGZFEndMarker = false
    }

    private func inflateMember(_ rest: inout UnsafeRawBufferPointer, _ emit: Emit) throws {
        while !rest.isEmpty {
            let given = min(rest.count, Int(UInt32.max))
            stream.pointee.next_in = UnsafeMutablePointer(
                mutating: rest.baseAddress!.assumingMemoryBound(to: UInt8.self))
            stream.pointee.avail_in = UInt32(given)
            var status = Z_OK
            repeat {
                stream.pointee.next_out = output.baseAddress!.assumingMemoryBound(to: UInt8.self)
                stream.pointee.avail_out = UInt32(output.count)
                status = inflate(stream, Z_NO_FLUSH)
                let made = output.count - Int(stream.pointee.avail_out)
                guard status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR else {
                    throw Failure(
                        .data, at: "\(label):byte \(offset + given - Int(stream.pointee.avail_in))",
                        "gzip data is corrupt", remedy: "the file is damaged: fetch it again")
                }
                if made > 0 { try deliver(UnsafeRawBufferPointer(rebasing: output[0..<made]), emit) }
            } while status == Z_OK && (stream.pointee.avail_in > 0 || stream.pointee.avail_out == 0)
            let used = given - Int(stream.pointee.avail_in)
            offset += used
            rest = UnsafeRawBufferPointer(rebasing: rest[used...])
            if status == Z_STREAM_END {
                state = .betweenMembers
                wanted = BGZF.headerSize
                return
            }
        }
    }
}

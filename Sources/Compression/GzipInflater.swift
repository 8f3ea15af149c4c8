internal import Diagnostics
internal import Threads

/// Turns pushed bytes into plain bytes: gzip of one or many members, BGZF, or input that was never compressed.
///
/// The kind is told by the first two bytes. Whole BGZF blocks are inflated on `threads` threads, a group at a time, and
/// given out in order; every other member is one stream, inflated on the caller's thread. The same input gives the same
/// bytes and the same error whatever the threads. Offsets in errors count compressed bytes from the start of the input.
public final class GzipInflater {
    /// Bounds on what a small input may grow into.
    public struct Limits: Sendable {
        /// Output bytes per input byte, counted from the start of the input. Deflate itself cannot pass 1,032; genotype
        /// matrices of thousands of samples come to some 200.
        public var maximumRatio: Int
        /// Output bytes to which the ratio is not applied: reference genomes begin with millions of N.
        public var ratioFreeOutput: Int
        /// Output bytes in all; nil for no bound.
        public var maximumOutput: Int?
        /// Whether BGZF input must end with its end marker. Without it, a file cut between blocks looks whole.
        public var requiresBGZFEndMarker: Bool

        public init(
            maximumRatio: Int = 500, ratioFreeOutput: Int = 64 << 20, maximumOutput: Int? = nil,
            requiresBGZFEndMarker: Bool = true
        ) {
            self.maximumRatio = maximumRatio
            self.ratioFreeOutput = ratioFreeOutput
            self.maximumOutput = maximumOutput
            self.requiresBGZFEndMarker = requiresBGZFEndMarker
        }

        /// - Throws: ``Failure`` `.data` when `plain` bytes are too many, or too many for `compressed` bytes.
        func check(plain: Int, compressed: Int, label: String, offset: Int) throws {
            if let cap = maximumOutput, plain > cap {
                throw Failure(
                    .data, at: "\(label):byte \(offset)", "inflates to more than the \(cap) bytes allowed",
                    remedy: "raise the limit if the input is known to be sound")
            }
            let (allowed, overflow) = compressed.multipliedReportingOverflow(by: maximumRatio)
            if plain > ratioFreeOutput && !overflow && plain > allowed {
                throw Failure(
                    .data, at: "\(label):byte \(offset)", "inflates to more than \(maximumRatio) times its size",
                    remedy: "this is a decompression bomb or damaged: refuse it")
            }
        }
    }

    public typealias Emit = (UnsafeRawBufferPointer) throws -> Void

    private enum State { case detecting, plain, betweenMembers, member, block, padding }

    /// BGZF blocks that one thread inflates before their bytes are given out: 256 KiB, well inside a core's own cache.
    private static let blocksPerThread = 4
    private static let memberRoom = blocksPerThread * BGZF.maximumBlockSize

    public let label: String
    /// Bytes taken in and given out.
    public private(set) var inputBytes = 0
    public private(set) var outputBytes = 0
    /// Whether the last member was a BGZF block, and not the end marker.
    public private(set) var lacksBGZFEndMarker = false

    private let limits: Limits
    private var state = State.detecting
    /// The beginning of a member, or of a BGZF block, that has not come whole.
    private var pending: [UInt8] = []
    private var wanted = BGZF.headerSize
    /// Compressed bytes that were inflated.
    private var offset = 0
    private lazy var member = GzipMember()
    private var memberStart = 0
    private lazy var blockInflaters = Workers(threads) { BGZFBlockInflater() }
    private var group = BlockGroup()
    private let threads: Int
    private let output: UnsafeMutableRawBufferPointer

    /// - Parameters:
    ///   - label: the name of the input in error messages.
    ///   - threads: for BGZF input.
    public init(label: String, limits: Limits = Limits(), threads: Int = 1) {
        self.label = label
        self.limits = limits
        self.threads = max(1, threads)
        output = .allocate(
            byteCount: self.threads * Self.blocksPerThread * BGZF.maximumBlockSize, alignment: 64)
    }

    /// Goes on behind BGZF blocks that somebody else has read, `place` bytes of them.
    convenience init(label: String, limits: Limits, behind place: Int, lacksEndMarker: Bool) {
        self.init(label: label, limits: limits)
        state = .betweenMembers
        offset = place
        inputBytes = place
        lacksBGZFEndMarker = lacksEndMarker
    }

    deinit { output.deallocate() }

    /// Takes the next bytes of the input and gives out what they inflate to, in order.
    ///
    /// - Throws: ``Failure`` `.data` when the bytes are damaged or pass the limits, and what `emit` throws. Nothing may
    ///   be fed afterwards.
    public func feed(_ bytes: UnsafeRawBufferPointer, emit: Emit) throws {
        inputBytes += bytes.count
        var rest = bytes
        while !rest.isEmpty {
            switch state {
            case .plain:
                try deliverPlain(rest, emit)
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
            try bytes.withUnsafeBytes { if !$0.isEmpty { try deliverPlain($0, emit) } }
        case .betweenMembers:
            if pending.allSatisfy({ $0 == 0 }) { break }
            guard pending[0] == 0x1f, pending.count == 1 || pending[1] == 0x8b else { throw trailingGarbage }
            throw truncated
        case .member, .block: throw truncated
        }
        if lacksBGZFEndMarker && limits.requiresBGZFEndMarker {
            throw missingEndMarker(label, inputBytes)
        }
    }

    /// Inflates an input that lies in memory whole.
    ///
    /// - Throws: ``Failure`` `.data` when it is damaged, truncated or passes the limits.
    public static func inflate(
        _ bytes: UnsafeRawBufferPointer, label: String, limits: Limits = Limits(), threads: Int = 1
    ) throws -> [UInt8] {
        if let whole = try BGZF.inflateWhole(bytes, label: label, limits: limits, threads: threads) { return whole }
        var result = [UInt8]()
        let inflater = GzipInflater(label: label, limits: limits, threads: threads)
        try inflater.feed(bytes) { result.append(contentsOf: $0) }
        try inflater.finish { result.append(contentsOf: $0) }
        return result
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

    private func deliver(_ bytes: UnsafeRawBufferPointer, _ emit: Emit) throws {
        outputBytes += bytes.count
        try emit(bytes)
    }

    private func deliverPlain(_ bytes: UnsafeRawBufferPointer, _ emit: Emit) throws {
        let total = outputBytes + bytes.count
        try limits.check(plain: total, compressed: total, label: label, offset: outputBytes)
        try deliver(bytes, emit)
    }

    private func checkPadding(_ bytes: UnsafeRawBufferPointer) throws {
        guard bytes.allSatisfy({ $0 == 0 }) else { throw trailingGarbage }
    }

    /// At the start of a member, or inside a BGZF block: gathers the bytes that the next decision needs.
    private func collect(_ rest: inout UnsafeRawBufferPointer, _ emit: Emit) throws {
        if pending.isEmpty && state != .block {
            while try inflateGroup(&rest, emit) {}
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
        let head = pending
        if state == .block {
            pending.removeAll(keepingCapacity: true)
            wanted = BGZF.headerSize
            try head.withUnsafeBytes {
                var block = $0
                _ = try inflateGroup(&block, emit)
            }
        } else if let size = pending.withUnsafeBytes({ BGZF.blockSize(at: $0) }) {
            guard size > BGZF.headerSize + BGZF.trailerSize else {
                throw damage(label, offset, "BGZF block size is too small to be true")
            }
            state = .block
            wanted = size
        } else {
            member.start()
            memberStart = offset
            state = .member
            lacksBGZFEndMarker = false
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
            state = .plain
            pending = []
            try bytes.withUnsafeBytes { try deliverPlain($0, emit) }
        } else {
            guard bytes.allSatisfy({ $0 == 0 }) else { throw trailingGarbage }
            state = .padding
        }
    }

    /// Inflates the whole blocks at the front of `rest`, as many as there is room for; false when there is none.
    private func inflateGroup(_ rest: inout UnsafeRawBufferPointer, _ emit: Emit) throws -> Bool {
        group.removeAll()
        var problem: (any Error)?
        let most = output.count / BGZF.maximumBlockSize
        while group.count < most,
            let size = BGZF.blockSize(at: UnsafeRawBufferPointer(rebasing: rest[group.compressedBytes...])),
            size <= rest.count - group.compressedBytes
        {
            let start = group.compressedBytes
            let block = UnsafeRawBufferPointer(rebasing: rest[start..<start + size])
            do {
                let plain = try BGZF.payloadSize(ofBlock: block, label: label, offset: offset + start)
                try limits.check(
                    plain: outputBytes + group.plainBytes + plain, compressed: offset + start + size, label: label,
                    offset: offset + start)
                group.append(compressed: size, plain: plain)
            } catch {
                // The blocks before it are sound; what is wrong with them comes first.
                problem = error
                break
            }
        }
        if group.count == 0 {
            if let problem { throw problem }
            return false
        }
        state = .betweenMembers
        let failed = group.inflate(
            rest, at: offset, into: output, with: blockInflaters, label: label)
        let sound = failed?.piece ?? group.count
        let made = group.plainOffsets[sound]
        if made > 0 { try deliver(UnsafeRawBufferPointer(rebasing: output[0..<made]), emit) }
        if let error = failed?.error ?? problem { throw error }
        lacksBGZFEndMarker = made != group.plainOffsets[sound - 1]
        offset += group.compressedBytes
        rest = UnsafeRawBufferPointer(rebasing: rest[group.compressedBytes...])
        return !rest.isEmpty
    }

    private func inflateMember(_ rest: inout UnsafeRawBufferPointer, _ emit: Emit) throws {
        // The same room and the same place whatever the threads, so that errors do not depend on them.
        let room = UnsafeMutableRawBufferPointer(rebasing: output[0..<Self.memberRoom])
        let isComplete = try member.inflate(&rest, offset: &offset, label: label, through: room) { bytes, place in
            try limits.check(plain: outputBytes + bytes.count, compressed: place, label: label, offset: memberStart)
            try deliver(bytes, emit)
        }
        if isComplete {
            state = .betweenMembers
            wanted = BGZF.headerSize
        }
    }
}

func missingEndMarker(_ label: String, _ offset: Int) -> Failure {
    Failure(
        .data, at: "\(label):byte \(offset)", "BGZF end marker is missing, the file is probably truncated",
        remedy: "fetch the file again, or pass it through bgzip again if it is known to be whole")
}

import Diagnostics
import Kernels
import OneTimePad

/// Key of one direction of a link that waits until it is due, by ascending pad offset. Not synchronised.
protocol KeyShelf {
    /// Bytes of pad that wait.
    var bytes: UInt64 { get }

    /// Puts a stretch behind all others; the caller wipes it.
    mutating func add(_ key: DeliveredKey) throws

    /// Moves what begins below `end` to the pieces that are due, in secret memory. Returns how many bytes could not be
    /// brought back and are lost.
    mutating func reveal(below end: UInt64, into pieces: inout KeyPieces) -> UInt64

    func firstAvailable(from offset: UInt64) -> UInt64?

    /// Erases the stretches that end at or below an offset; returns their bytes.
    mutating func discard(below offset: UInt64, _ reason: ErasureReceipt.Reason) -> UInt64

    /// Told that no pad below an offset is on hand any more: receipts for it can be written.
    mutating func spent(below offset: UInt64)
}

extension KeyShelf {
    mutating func spent(below offset: UInt64) {}
}

/// Key that waits in ordinary memory, masked.
struct MemoryShelf: KeyShelf {
    private var masked: [MaskedKey] = []
    /// How many of `masked` were used up; the array is cut now and then.
    private var head = 0
    private(set) var bytes: UInt64 = 0

    mutating func add(_ key: DeliveredKey) throws {
        guard let expansion = key.expansion else {
            masked.append(try MaskedKey(key.bytes, offset: key.offset))
            bytes += UInt64(key.bytes.count)
            return
        }
        // The other end of this link keeps K1 on a disk; here K4 waits masked like any key.
        let pad = SecureBytes(copying: key.bytes)
        try pad.withUnsafeMutableBytes {
            expansion.apply($0, at: key.offset % KeyCut.pad)
            masked.append(try MaskedKey(UnsafeRawBufferPointer($0), offset: key.offset))
        }
        bytes += UInt64(key.bytes.count)
    }

    /// Takes the first masked key out of the row.
    private mutating func pop() -> MaskedKey {
        let key = masked[head]
        bytes -= UInt64(key.count)
        head += 1
        if head >= 64 || head == masked.count {
            masked.removeFirst(head)
            head = 0
        }
        return key
    }

    mutating func reveal(below end: UInt64, into pieces: inout KeyPieces) -> UInt64 {
        while head < masked.count, masked[head].offset < end {
            let key = masked[head]
            let bytes = pieces.buffer(count: key.count)
            bytes.withUnsafeMutableBytes { key.reveal(into: $0) }
            pieces.append(bytes, at: key.offset)
            _ = pop()
        }
        return 0
    }

    func firstAvailable(from offset: UInt64) -> UInt64? {
        masked[head...].first { $0.end > offset }.map { max(offset, $0.offset) }
    }

    mutating func discard(below offset: UInt64, _ reason: ErasureReceipt.Reason) -> UInt64 {
        var lost: UInt64 = 0
        while head < masked.count, masked[head].end <= offset { lost += UInt64(pop().count) }
        return lost
    }
}

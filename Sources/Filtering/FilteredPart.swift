/// A piece of a reference block, or a line that comes behind it, which waits until no record can come before it.
struct WaitingLine {
    /// 0-based first base.
    var start: Int
    var end: Int
    var line: [UInt8]
}

/// Lines that wait, in order, all of one contig.
struct WaitingLines {
    var lines: [WaitingLine] = []
    var contig: [UInt8] = []
}

/// What the filter made of some whole lines.
final class FilteredPart: @unchecked Sendable {
    /// Output, in order: bytes of the input as they are, or bytes of ``edited``.
    struct Segment {
        var from: Int
        var to: Int
        var isEdited: Bool
    }

    /// Neighbouring records of one contig.
    struct Run {
        var contig: [UInt8]
        var firstPosition: Int
        var lastPosition: Int
        /// The first record's number in the part, from 0 on.
        var firstRecord: Int
    }

    /// Neighbouring output records that an index need not tell apart; offsets count from the part's first output byte.
    struct IndexEntry {
        var contig: [UInt8]
        /// 0-based.
        var first: Int
        var last: Int
        var start: Int
        var end: Int
        var records: Int
    }

    var segments: [Segment] = []
    var edited: [UInt8] = []
    var runs: [Run] = []
    var index: [IndexEntry] = []
    var counts = FilterCounts()
    var outputBytes = 0
    var waiting = WaitingLines()
    /// What is wrong with a record, and its number in the part, from 0 on.
    var failure: (record: Int, problem: any Error)?
    /// Processor time that it took.
    var seconds = 0.0

    /// Copies segments that lie close together into one, so that the thread that writes has little to do. The first and
    /// the last stay, as they may be parts of blocks that go out whole, and so does every one that `staysWhole`.
    func gather(from text: UnsafeRawBufferPointer, staysWhole: (Range<Int>) -> Bool) {
        guard segments.count > 8 else { return }
        let before = edited
        edited = []
        edited.reserveCapacity(outputBytes)
        var gathered: [Segment] = []
        for (number, segment) in segments.enumerated() {
            let range = segment.from..<segment.to
            if !segment.isEdited, number == 0 || number == segments.count - 1 || staysWhole(range) {
                gathered.append(segment)
                continue
            }
            let from = edited.count
            if segment.isEdited {
                edited.append(contentsOf: before[range])
            } else {
                edited.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[range]))
            }
            if let last = gathered.last, last.isEdited {
                gathered[gathered.count - 1].to = edited.count
            } else {
                gathered.append(Segment(from: from, to: edited.count, isEdited: true))
            }
        }
        segments = gathered
    }
}

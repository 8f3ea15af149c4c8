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
}

internal import Simulation

/// The call set that is filtered, as `dsgd simulate --calls` writes it, and lists of targets in it.
struct CallSet {
    /// 1-based positions of all records by contig.
    private(set) var positions: [(contig: String, at: [Int32])] = []

    /// Writes the call set and its index.
    init(records: Int, to path: String) throws {
        var simulator = CallSetSimulator(records: records)
        simulator.threads = 2
        var positions: [(contig: String, at: [Int32])] = []
        try simulator.write(to: path) { contig, position in
            if positions.last?.contig != contig { positions.append((contig, [])) }
            positions[positions.count - 1].at.append(Int32(position))
        }
        self.positions = positions
    }

    /// A BED that holds exactly `count` records: as points of one base, or as regions of about a thousandth each.
    func bed(of count: Int, byPoints: Bool) -> [UInt8] {
        let all = positions.reduce(0) { $0 + $1.at.count }
        guard count > 0 else { return Array("chr1\t0\t500\n".utf8) }
        var text = ""
        var number = 0
        let groups = byPoints ? count : min(count, 1_000)
        // The record with this number is the first of a group, and those before the other number belong to it.
        func first(_ group: Int) -> Int { group * all / groups }
        func size(_ group: Int) -> Int { (group + 1) * count / groups - group * count / groups }
        var group = 0
        for (contig, at) in positions {
            var start: Int32?
            for (index, position) in at.enumerated() {
                while group + 1 < groups && first(group + 1) <= number { group += 1 }
                let isIn = number - first(group) < size(group)
                if isIn && start == nil { start = position - 1 }
                let isLast = index == at.count - 1 || number + 1 - first(group) >= size(group) || byPoints
                if isIn, isLast, let from = start {
                    text += "\(contig)\t\(from)\t\(position)\n"
                    start = nil
                }
                number += 1
            }
        }
        return Array(text.utf8)
    }
}

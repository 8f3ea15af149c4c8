/// Parts of the mapping quality that must not depend on the platform's mathematics library.
enum MappingQuality {
    private static let logarithms: [Double] = (0...1024).map { value in
        guard value > 0 else { return 0 }
        var mantissa = Double(value)
        var doublings = 0.0
        while mantissa > 1.5 {
            mantissa /= 2
            doublings += 1
        }
        let z = (mantissa - 1) / (mantissa + 1)
        var term = z
        var sum = 0.0
        for k in 0..<40 {
            sum += term / Double(2 * k + 1)
            term *= z * z
        }
        return 2 * sum + doublings * 0.6931471805599453
    }

    static func naturalLogarithm(_ value: Double) -> Double { logarithms[min(1024, max(0, Int(value)))] }

    /// What `copies` equally good placements cost.
    static func penalty(copies: Int) -> Int { Int(4.343 * naturalLogarithm(Double(copies + 1)) + 0.499) }
}

/// Alignments that stick out of a contig's end by a few bases (the clip penalty allows four).
enum ContigEdge {
    /// Turns the first `before` and last `after` reference bases of the CIGAR into soft clips. False if nothing is
    /// left.
    static func clip(_ cigars: inout [UInt32], from start: Int, before: Int, after: Int) -> Bool {
        var operations = cigars[start...].map { CigarOperation(rawValue: $0) }
        guard trim(&operations, before) else { return false }
        operations.reverse()
        guard trim(&operations, after) else { return false }
        operations.reverse()
        cigars.removeSubrange(start...)
        cigars.append(contentsOf: operations.map(\.rawValue))
        return true
    }

    private static func trim(_ operations: inout [CigarOperation], _ count: Int) -> Bool {
        guard count > 0 else { return true }
        var clipped = 0
        if operations.first?.kind == .softClip { clipped = operations.removeFirst().length }
        guard let first = operations.first, first.kind == .match, first.length > count else { return false }
        operations[0] = CigarOperation(.match, first.length - count)
        operations.insert(CigarOperation(.softClip, clipped + count), at: 0)
        return true
    }
}

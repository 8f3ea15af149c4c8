/// Global alignment with affine gaps of an assembled haplotype to its stretch of reference (Gotoh 1982), as events.
enum HaplotypeAligner {
    private static let match: Int32 = 20
    private static let mismatch: Int32 = -15
    private static let open: Int32 = -26
    private static let extend: Int32 = -1
    private static let never: Int32 = Int32.min / 2

    /// Events of `haplotype` against `reference[range]`, left-aligned, in order.
    static func events(
        haplotype: [UInt8], reference: UnsafeBufferPointer<UInt8>, range: Range<Int>
    ) -> [Event] {
        let rows = haplotype.count + 1
        let columns = range.count + 1
        var best = [Int32](repeating: never, count: columns)
        var insertion = best
        // Per cell: bits 0-1 the source of the best score (0 diagonal, 1 insertion, 2 deletion), bit 2 and 3 whether
        // the insertion and the deletion that end here were extended.
        var trace = [UInt8](repeating: 0, count: rows * columns)
        best[0] = 0
        for column in 1..<columns {
            best[column] = open + extend * Int32(column - 1)
            trace[column] = 2 | (column > 1 ? 8 : 0)
        }
        for row in 1..<rows {
            var diagonal = best[0]
            best[0] = open + extend * Int32(row - 1)
            trace[row * columns] = 1 | (row > 1 ? 4 : 0)
            var deletion = never
            for column in 1..<columns {
                let same = haplotype[row - 1] == reference[range.lowerBound + column - 1]
                var flags: UInt8 = 0
                if insertion[column] + extend > best[column] + open {
                    insertion[column] += extend
                    flags |= 4
                } else {
                    insertion[column] = best[column] + open
                }
                if deletion + extend > best[column - 1] + open {
                    deletion += extend
                    flags |= 8
                } else {
                    deletion = best[column - 1] + open
                }
                var score = diagonal + (same ? match : mismatch)
                if insertion[column] > score {
                    score = insertion[column]
                    flags |= 1
                }
                if deletion > score {
                    score = deletion
                    flags = flags & ~3 | 2
                }
                diagonal = best[column]
                best[column] = score
                trace[row * columns + column] = flags
            }
        }
        return walk(haplotype, reference, range, trace, columns)
    }

    private static func walk(
        _ haplotype: [UInt8], _ reference: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ trace: [UInt8],
        _ columns: Int
    ) -> [Event] {
        var found: [Event] = []
        var row = haplotype.count
        var column = range.count
        while row > 0 || column > 0 {
            let source = trace[row * columns + column] & 3
            if source == 0 {
                row -= 1
                column -= 1
                let place = range.lowerBound + column
                if haplotype[row] != reference[place], haplotype[row] < 4, reference[place] < 4 {
                    found.append(Event(start: place, referenceLength: 1, alternate: [haplotype[row]]))
                }
                continue
            }
            let bit: UInt8 = source == 1 ? 4 : 8
            let (endRow, endColumn) = (row, column)
            var isExtended = true
            while isExtended {
                isExtended = trace[row * columns + column] & bit != 0
                if source == 1 { row -= 1 } else { column -= 1 }
            }
            let event = Event(
                start: range.lowerBound + column, referenceLength: endColumn - column,
                alternate: Array(haplotype[row..<endRow]))
            found.append(event.leftAligned(reference: reference))
        }
        return found.sorted()
    }
}

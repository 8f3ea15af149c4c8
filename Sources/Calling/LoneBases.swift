/// Which bases, alone in their column, make no record that is worth a thought: it follows from the base and the
/// reference's letter, and where reads are few nearly every error of the sequencer is such a column.
final class LoneBases {
    // Belongs to one thread.

    /// Qualities above these are looked at anew each time.
    private static let mostQuality = 63
    private var worthless = [Bool](repeating: false, count: (mostQuality + 1) * (mostQuality + 1) * 8)

    private static func slot(_ base: ColumnBase, _ letter: Int) -> Int? {
        guard base.mappingQuality <= mostQuality, base.quality <= mostQuality else { return nil }
        let qualities = Int(base.mappingQuality) * (mostQuality + 1) + Int(base.quality)
        let isTransition = ColumnGenotyper.isTransition(Int(base.base), letter)
        return qualities * 8 + (base.isReverse ? 4 : 0) + (base.isNearEnd ? 2 : 0) + (isTransition ? 1 : 0)
    }

    /// Whether such a column was noted before.
    func isWorthless(_ base: ColumnBase, reference letter: Int) -> Bool {
        Self.slot(base, letter).map { worthless[$0] } ?? false
    }

    /// Notes that a column of this base alone makes no record worth a thought.
    func noteWorthless(_ base: ColumnBase, reference letter: Int) {
        if let slot = Self.slot(base, letter) { worthless[slot] = true }
    }
}

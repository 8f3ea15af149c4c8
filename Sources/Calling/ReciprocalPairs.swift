import GenomicFormats

/// Two substitutions that swap two bases of a tandem repeat with impurities, X to Y at one place and Y to X a few bases
/// on: what reads show that end inside the repeat when a unit more or less was left unopened beyond their ends.
enum ReciprocalPairs {
    static let farthest = 60
    /// Bases around the pair that are held against the reference shifted by the pair's distance.
    private static let flank = 30

    /// Sets ``CallFeatures/Feature/reciprocalShift`` of the records, which are in order and have their features.
    static func mark(_ records: inout [VariantRecord], reference: UnsafeBufferPointer<UInt8>) {
        for first in records.indices where isSubstitution(records[first]) {
            for second in records.indices[(first + 1)...] {
                let distance = records[second].place - records[first].place
                if distance > farthest { break }
                guard distance > 0, isSubstitution(records[second]),
                    records[second].reference == records[first].alternates[0],
                    records[second].alternates[0] == records[first].reference
                else { continue }
                let share = shiftedAgreement(records[first].place, distance, reference)
                for index in [first, second] {
                    let known = records[index].features?[.reciprocalShift] ?? 0
                    records[index].features?[.reciprocalShift] = max(known, share)
                }
            }
        }
    }

    private static func isSubstitution(_ record: VariantRecord) -> Bool {
        record.reference.count == 1 && record.alternates.count == 1 && record.alternates[0].count == 1
    }

    /// Share of the bases around a place that equal the base `distance` on.
    static func shiftedAgreement(_ place: Int, _ distance: Int, _ reference: UnsafeBufferPointer<UInt8>) -> Double {
        let around = max(0, place - flank)..<max(0, min(reference.count - distance, place + flank + 1))
        let equal = around.count { reference[$0] < 4 && reference[$0] == reference[$0 + distance] }
        return Double(equal) / Double(max(1, around.count))
    }
}

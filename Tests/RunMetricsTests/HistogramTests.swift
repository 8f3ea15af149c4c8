import RunMetrics
import Testing

@Suite struct HistogramTests {
    @Test func averagesAreThoseOfTheValues() {
        var histogram = Histogram()
        #expect(histogram.mean == nil && histogram.median == nil && histogram.standardDeviation == nil)
        for value in [2, 4, 4, 4, 5, 5, 7, 9] { histogram.add(value) }
        #expect(histogram.mean == 5)
        #expect(histogram.median == 4.5)
        #expect(histogram.standardDeviation == 2)
        #expect(histogram.count(in: 4..<6) == 5)
        histogram.add(9)
        #expect(histogram.median == 5)
    }

    /// Values beyond the array count as others do.
    @Test func greatValuesAreKept() {
        var histogram = Histogram()
        for value in [0, 4095, 4096, 1_000_000_000, 4096] { histogram.add(value) }
        #expect(histogram[4096] == 2 && histogram[4095] == 1 && histogram[5000] == 0)
        #expect(histogram.sum == 4095 + 2 * 4096 + 1_000_000_000)
        #expect(histogram.median == 4096)
        #expect(histogram.entries.map(\.value) == [0, 4095, 4096, 1_000_000_000])
        #expect(histogram.count(in: 4096..<Int.max) == 3)
    }

    @Test func orderOfAddingDoesNotMatter() {
        var (one, other, part) = (Histogram(), Histogram(), Histogram())
        for value in [3, 70_000, 1, 3] { one.add(value) }
        for value in [70_000, 3] { part.add(value) }
        for value in [1, 3] { other.add(value) }
        other.add(200, times: 0)
        other.add(part)
        #expect(one == other)
    }
}

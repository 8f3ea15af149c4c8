import GenomicFormats

/// What follows once a unit's records are known: ploidy, the evidence that each rests on, and phase.
struct Annotator {
    let window: ReadWindow
    let reference: UnsafeBufferPointer<UInt8>
    let options: CallingOptions

    func annotated(_ records: [VariantRecord]) -> [VariantRecord] {
        var records = records
        for index in records.indices {
            if records[index].witnesses.isEmpty { records[index].witnesses = columnWitnesses(records[index]) }
            records[index].features = CallFeatures(records[index], window: window, reference: reference)
        }
        Phasing.phase(&records, window: window)
        return records
    }

    /// The fragments that speak in a column: what ``ColumnGenotyper`` counts.
    private func columnWitnesses(_ record: VariantRecord) -> [VariantRecord.Witness] {
        guard record.reference.count == 1, record.alternates.allSatisfy({ $0.count == 1 }) else { return [] }
        let alleles = [record.reference[0]] + record.alternates.map { $0[0] }
        let place = record.place
        var found: [VariantRecord.Witness] = []
        for read in window.aligned(over: place..<place + 1) {
            var base = -1
            window.forEachMatch(read) { start, first, count in
                if place >= start, place < start + count { base = first + place - start }
            }
            guard base >= 0, window.columnQualities[base] >= max(1, options.minimumBaseQuality),
                let allele = alleles.firstIndex(of: window.bases[base])
            else { continue }
            found.append(VariantRecord.Witness(read: read, allele: UInt8(allele)))
        }
        return found
    }
}

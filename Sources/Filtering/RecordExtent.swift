import GenomicFormats

/// What kind of thing an ALT allele is.
enum AlleleKind {
    case sequence
    /// `*`: a deletion that began further left covers this base.
    case spanningDeletion
    /// `<NON_REF>` or `<*>`: any other allele, seen or not.
    case unspecified
    case symbolic
    case breakend
    /// `.`: none.
    case missing
    case unknown

    init(_ allele: UnsafeRawBufferPointer) {
        if VariantList.isSequence(allele) {
            self = .sequence
        } else if allele.elementsEqual("*".utf8) {
            self = .spanningDeletion
        } else if allele.elementsEqual("<NON_REF>".utf8) || allele.elementsEqual("<*>".utf8) {
            self = .unspecified
        } else if allele.elementsEqual(".".utf8) {
            self = .missing
        } else if allele.first == UInt8(ascii: "<") && allele.last == UInt8(ascii: ">") {
            self = .symbolic
        } else if allele.contains(UInt8(ascii: "[")) || allele.contains(UInt8(ascii: "]"))
            || allele.first == UInt8(ascii: ".") || allele.last == UInt8(ascii: ".")
        {
            self = .breakend
        } else {
            self = .unknown
        }
    }
}

/// What part of the reference a record speaks of, under each overlap rule. Positions are 0-based.
enum RecordExtent {
    /// Calls `body` with each ALT allele in order.
    static func forEachAlternative(_ record: VCFRecord, _ body: (Int, UnsafeRawBufferPointer) -> Void) {
        let all = record.alternatives
        var at = 0
        var number = 1
        while true {
            let end = Bytes.find(UInt8(ascii: ","), in: all, from: at) ?? all.count
            body(number, UnsafeRawBufferPointer(rebasing: all[at..<end]))
            if end == all.count { return }
            at = end + 1
            number += 1
        }
    }

    /// bcftools' boundaries of a variant: behind the beginning that REF shares with every ALT, to the record's end. The
    /// end lies before the start for insertions, and then both bases beside the insertion must be in the region.
    static func variantBounds(_ record: VCFRecord) -> (first: Int, last: Int) {
        let start = record.position - 1
        let last = record.end() - 1
        let reference = record.reference
        var shared = last - start + 1
        forEachAlternative(record) { _, allele in
            // An absent ALT is no allele; bcftools then starts behind the record's end.
            if allele.count == 1 && allele[0] == UInt8(ascii: ".") { return }
            var same = 0
            while same < reference.count, same < allele.count, reference[same] == allele[same] { same += 1 }
            shared = min(shared, same)
        }
        return (start + shared, last)
    }

    /// Whether the record is a block of reference calls: no ALT, or only "any other allele".
    static func isReferenceBlock(_ record: VCFRecord) -> Bool {
        var result = true
        forEachAlternative(record) { _, allele in
            switch AlleleKind(allele) {
            case .unspecified, .missing: break
            default: result = false
            }
        }
        return result
    }

    /// All bases of which the record's alleles tell something, or nil when that cannot be told (then nothing goes out).
    ///
    /// A trimmed insertion lies between two bases and needs both. `mates` receives the far ends of breakends.
    static func affected(_ record: VCFRecord, mates: (String, Int) -> Void) -> Range<Int>? {
        let start = record.position - 1
        let reference = record.reference
        var low = Int.max
        var high = Int.min
        var isKnown = true
        func cover(_ from: Int, _ to: Int) {
            low = min(low, max(0, from))
            high = max(high, to)
        }
        forEachAlternative(record) { _, allele in
            switch AlleleKind(allele) {
            case .sequence:
                let trim = VariantList.trimming(reference, allele)
                let from = start + trim.prefix
                let to = start + reference.count - trim.suffix
                if from < to {
                    cover(from, to)
                } else if allele.count > reference.count {
                    cover(from - 1, from + 1)
                } else {
                    cover(start, start + reference.count)
                }
            case .spanningDeletion: cover(start, start + 1)
            case .unspecified, .missing: break
            case .symbolic: cover(start, symbolicEnd(record))
            case .breakend:
                cover(start, start + reference.count)
                if !readMate(allele, mates) { isKnown = false }
            case .unknown: isKnown = false
            }
        }
        guard isKnown else { return nil }
        return low < high ? low..<high : start..<record.end()
    }

    /// The end of a symbolic allele: INFO/END, or POS and the longest SVLEN, whichever is further.
    private static func symbolicEnd(_ record: VCFRecord) -> Int {
        var end = record.end()
        if let value = record.infoValue("SVLEN") {
            for field in value.split(separator: UInt8(ascii: ",")) {
                var digits = UnsafeRawBufferPointer(rebasing: field)
                if digits.first == UInt8(ascii: "-") { digits = UnsafeRawBufferPointer(rebasing: digits.dropFirst()) }
                guard let base = digits.baseAddress, let length = Bytes.decimal(base, 0, digits.count) else { continue }
                end = max(end, record.position + length)
            }
        }
        return end
    }

    /// The far end of a breakend; true also for single breakends, which name none.
    private static func readMate(_ allele: UnsafeRawBufferPointer, _ body: (String, Int) -> Void) -> Bool {
        let brackets = allele.indices.filter {
            allele[$0] == UInt8(ascii: "[") || allele[$0] == UInt8(ascii: "]")
        }
        if brackets.isEmpty { return true }
        guard brackets.count == 2 else { return false }
        let place = allele[brackets[0] + 1..<brackets[1]]
        guard let colon = place.lastIndex(of: UInt8(ascii: ":")), let base = allele.baseAddress,
            let position = Bytes.decimal(base, colon + 1, place.endIndex), position >= 1
        else { return false }
        body(String(decoding: place[place.startIndex..<colon], as: UTF8.self), position - 1)
        return true
    }
}

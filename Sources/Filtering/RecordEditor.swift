import GenomicFormats

/// Writes records of which only a part may go out: keys, alleles, samples, or a piece of a reference block.
struct RecordEditor {
    private enum Action { case drop, copy, genotype, perAlternative, perAllele, perGenotype }

    private let fields: FieldProjection
    private let sampleColumns: [Int]?
    private let writesSamples: Bool
    private let infoNumbers: [String: String]
    private let formatNumbers: [String: String]
    /// Kept INFO keys as bytes; nil for all but those that are dropped.
    private let infoKeys: [[UInt8]]?
    private let droppedInfoKeys: [[UInt8]]

    private var plan: [Action] = []
    private var planFormat: [UInt8] = []
    private var planIsSplit = false
    private var sampleStarts: [Int] = []
    /// New number of each old allele; -1 for those that may not go out.
    private var alleleNumbers: [Int] = []

    /// Whether records that pass whole can be copied as they are.
    var isIdentity: Bool { fields == .all && sampleColumns == nil }

    init(input: VCFHeader, output: OutputHeader, fields: FieldProjection) {
        self.fields = fields
        sampleColumns = output.sampleColumns
        writesSamples = output.header.hasFormat
        func numbers(_ kind: String) -> [String: String] {
            Dictionary(
                input.definitions.filter { $0.kind == kind }.map { ($0.id, $0.number ?? ".") },
                uniquingKeysWith: { first, _ in first })
        }
        infoNumbers = numbers("INFO")
        formatNumbers = numbers("FORMAT")
        infoKeys = fields.info.map { $0.union(FieldProjection.structural).map { Array($0.utf8) } }
        droppedInfoKeys = fields.droppedInfo.filter { !fields.keepsInfo($0) }.map { Array($0.utf8) }
    }

    /// Appends the line and its line end.
    ///
    /// - Parameters:
    ///   - allowed: which ALT alleles go out; nil for all.
    ///   - piece: the part of a reference block that goes out, 0-based; nil for the record as it is.
    mutating func write(_ record: VCFRecord, allowed: [Bool]?, piece: Range<Int>?, to out: inout [UInt8]) {
        let line = record.line
        let ends = record.tailEnds()
        func put(_ from: Int, _ to: Int) { out.append(contentsOf: UnsafeRawBufferPointer(rebasing: line[from..<to])) }
        put(0, record.chromEnd)
        out.append(9)
        if let piece {
            out.append(contentsOf: "\(piece.lowerBound + 1)".utf8)
        } else {
            put(record.chromEnd + 1, record.posEnd)
        }
        out.append(9)
        if fields.keepsIdentifier && piece == nil && allowed == nil {
            put(record.posEnd + 1, record.idEnd)
        } else {
            out.append(UInt8(ascii: "."))
        }
        out.append(9)
        if let piece {
            // A piece that begins inside the block begins at a base that the record does not tell.
            let isHead = piece.lowerBound == record.position - 1
            out.append(isHead ? record.reference[0] : UInt8(ascii: "N"))
        } else {
            put(record.idEnd + 1, record.refEnd)
        }
        out.append(9)
        writeAlternatives(record, allowed, &out)
        out.append(9)
        if fields.keepsQuality { put(record.altEnd + 1, ends.qual) } else { out.append(UInt8(ascii: ".")) }
        out.append(9)
        if fields.keepsFilter { put(ends.qual + 1, ends.filter) } else { out.append(UInt8(ascii: ".")) }
        out.append(9)
        writeInfo(UnsafeRawBufferPointer(rebasing: line[ends.filter + 1..<ends.info]), allowed, piece, &out)
        if writesSamples && ends.info < line.count { writeSamples(line, ends.info + 1, allowed, &out) }
        out.append(10)
    }

    private mutating func writeAlternatives(_ record: VCFRecord, _ allowed: [Bool]?, _ out: inout [UInt8]) {
        guard let allowed else {
            out.append(contentsOf: record.alternatives)
            return
        }
        alleleNumbers = [0]
        var kept = 0
        RecordExtent.forEachAlternative(record) { number, allele in
            guard allowed[number - 1] else {
                alleleNumbers.append(-1)
                return
            }
            if kept > 0 { out.append(UInt8(ascii: ",")) }
            kept += 1
            alleleNumbers.append(kept)
            out.append(contentsOf: allele)
        }
    }

    /// What to do with a key when alleles are taken away: values counted by allele are thinned, single values stay, and
    /// what might tell of the other alleles goes.
    private static func action(number: String?) -> Action {
        switch number {
        case "A": .perAlternative
        case "R": .perAllele
        case "G": .perGenotype
        case .some(let text) where Int(text) != nil: .copy
        default: .drop
        }
    }

    private func writeInfo(
        _ info: UnsafeRawBufferPointer, _ allowed: [Bool]?, _ piece: Range<Int>?, _ out: inout [UInt8]
    ) {
        if infoKeys == nil && droppedInfoKeys.isEmpty && allowed == nil && piece == nil {
            out.append(contentsOf: info)
            return
        }
        let before = out.count
        var at = 0
        while at < info.count {
            let stop = Bytes.find(UInt8(ascii: ";"), in: info, from: at) ?? info.count
            let equals = min(stop, Bytes.find(UInt8(ascii: "="), in: info, from: at) ?? stop)
            let key = UnsafeRawBufferPointer(rebasing: info[at..<equals])
            let from = at
            at = stop + 1
            if key.elementsEqual(".".utf8) || key.isEmpty { continue }
            if let infoKeys, !infoKeys.contains(where: { $0.elementsEqual(key) }) { continue }
            if droppedInfoKeys.contains(where: { $0.elementsEqual(key) }) { continue }
            let isEnd = key.elementsEqual("END".utf8)
            var action = Action.copy
            if allowed != nil && !isEnd {
                action = Self.action(number: infoNumbers[String(decoding: key, as: UTF8.self)])
                if action == .perGenotype || action == .drop { continue }
            }
            if out.count > before { out.append(UInt8(ascii: ";")) }
            if isEnd, let piece {
                out.append(contentsOf: "END=\(piece.upperBound)".utf8)
            } else if action == .copy || equals == stop {
                out.append(contentsOf: UnsafeRawBufferPointer(rebasing: info[from..<stop]))
            } else {
                out.append(contentsOf: UnsafeRawBufferPointer(rebasing: info[from...equals]))
                thin(UnsafeRawBufferPointer(rebasing: info[equals + 1..<stop]), action, &out)
            }
        }
        if out.count == before { out.append(UInt8(ascii: ".")) }
    }

    private mutating func makePlan(_ format: UnsafeRawBufferPointer, isSplit: Bool) {
        if planIsSplit == isSplit && planFormat.elementsEqual(format) && !plan.isEmpty { return }
        planFormat = Array(format)
        planIsSplit = isSplit
        plan = format.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false).map { part in
            let key = String(decoding: part, as: UTF8.self)
            if !fields.keepsFormat(key) { return .drop }
            if !isSplit { return .copy }
            return key == "GT" ? .genotype : Self.action(number: formatNumbers[key])
        }
    }

    private mutating func writeSamples(
        _ line: UnsafeRawBufferPointer, _ from: Int, _ allowed: [Bool]?, _ out: inout [UInt8]
    ) {
        let formatEnd = Bytes.find(9, in: line, from: from) ?? line.count
        let format = UnsafeRawBufferPointer(rebasing: line[from..<formatEnd])
        makePlan(format, isSplit: allowed != nil)
        let copiesAll = plan.allSatisfy { $0 == .copy }
        out.append(9)
        if copiesAll {
            out.append(contentsOf: format)
        } else {
            let before = out.count
            let keys = format.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            for (part, action) in zip(keys, plan) where action != .drop {
                if out.count > before { out.append(UInt8(ascii: ":")) }
                out.append(contentsOf: part)
            }
            if out.count == before { out.append(UInt8(ascii: ".")) }
        }
        guard let sampleColumns else {
            var at = formatEnd
            while at < line.count {
                let end = Bytes.find(9, in: line, from: at + 1) ?? line.count
                out.append(9)
                writeSample(UnsafeRawBufferPointer(rebasing: line[at + 1..<end]), copiesAll, &out)
                at = end
            }
            return
        }
        sampleStarts.removeAll(keepingCapacity: true)
        var at = formatEnd
        while at < line.count {
            sampleStarts.append(at + 1)
            at = Bytes.find(9, in: line, from: at + 1) ?? line.count
        }
        sampleStarts.append(line.count + 1)
        for column in sampleColumns {
            out.append(9)
            let sample = line[sampleStarts[column]..<sampleStarts[column + 1] - 1]
            writeSample(UnsafeRawBufferPointer(rebasing: sample), copiesAll, &out)
        }
    }

    private func writeSample(_ sample: UnsafeRawBufferPointer, _ copiesAll: Bool, _ out: inout [UInt8]) {
        if copiesAll {
            out.append(contentsOf: sample)
            return
        }
        let before = out.count
        var at = 0
        for action in plan {
            guard at <= sample.count else { break }
            let end = Bytes.find(UInt8(ascii: ":"), in: sample, from: at) ?? sample.count
            let value = UnsafeRawBufferPointer(rebasing: sample[at..<end])
            at = end + 1
            if action == .drop { continue }
            if out.count > before { out.append(UInt8(ascii: ":")) }
            switch action {
            case .genotype: writeGenotype(value, &out)
            case .copy: out.append(contentsOf: value)
            default: thin(value, action, &out)
            }
        }
        if out.count == before { out.append(UInt8(ascii: ".")) }
    }

    /// Alleles that may not go out become missing: neither their number nor a false reference call is told.
    private func writeGenotype(_ value: UnsafeRawBufferPointer, _ out: inout [UInt8]) {
        var at = 0
        while at < value.count {
            guard (48...57).contains(value[at]) else {
                out.append(value[at])
                at += 1
                continue
            }
            var allele = 0
            while at < value.count, (48...57).contains(value[at]) {
                allele = min(1 << 20, allele * 10 + Int(value[at]) - 48)
                at += 1
            }
            let number = allele < alleleNumbers.count ? alleleNumbers[allele] : -1
            out.append(contentsOf: number < 0 ? [UInt8(ascii: ".")] : Array("\(number)".utf8))
        }
    }

    /// Keeps the values that belong to kept alleles; a list of another length than declared becomes missing.
    private func thin(_ value: UnsafeRawBufferPointer, _ action: Action, _ out: inout [UInt8]) {
        let values = value.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        let count = alleleNumbers.count
        var kept: [Int] = []
        switch action {
        case .perAlternative where values.count == count - 1:
            kept = (1..<count).filter { alleleNumbers[$0] >= 0 }.map { $0 - 1 }
        case .perAllele where values.count == count:
            kept = (0..<count).filter { alleleNumbers[$0] >= 0 }
        case .perGenotype where values.count == count * (count + 1) / 2:
            // Diploid order of VCF 4.3, section 1.6.2: genotype j/k lies at k * (k + 1) / 2 + j.
            for k in 0..<count where alleleNumbers[k] >= 0 {
                for j in 0...k where alleleNumbers[j] >= 0 { kept.append(k * (k + 1) / 2 + j) }
            }
        default: break
        }
        if kept.isEmpty { out.append(UInt8(ascii: ".")) }
        for (place, index) in kept.enumerated() {
            if place > 0 { out.append(UInt8(ascii: ",")) }
            out.append(contentsOf: UnsafeRawBufferPointer(rebasing: values[index]))
        }
    }
}

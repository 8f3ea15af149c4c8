internal import CHTS

/// htslib's objects, each freed with its owner, and its messages, which the project says itself.
enum HTSLibrary {
    /// Done once, before the library is first used.
    static let isSilent: Void = hts_set_log_level(HTS_LOG_OFF)
}

/// The dictionaries of a header as htslib has them. One thread at a time has it, or several that only read.
final class HTSHeader: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<bcf_hdr_t>

    /// Parses the header of a VCF or BCF; nil when htslib refuses it.
    init?(text: some Collection<UInt8>) {
        _ = HTSLibrary.isSilent
        guard let made = bcf_hdr_init("r") else { return nil }
        pointer = made
        var bytes = text.map { CChar(bitPattern: $0) } + [0]
        guard bcf_hdr_parse(made, &bytes) == 0 else { return nil }
    }

    /// A copy for another thread that changes it.
    init?(copying other: HTSHeader) {
        guard let made = bcf_hdr_dup(other.pointer) else { return nil }
        pointer = made
    }

    deinit { bcf_hdr_destroy(pointer) }

    /// The largest number that a header may give to one of its lines: htslib keeps a table of all below it.
    static let largestNumber = 1 << 20

    /// The number of the first line with an `IDX=` that is no number up to the largest, wherever it stands: where
    /// fields begin, in quotes and in nested brackets, htslib sees otherwise than `VCFHeader`.
    static func lineWithImpossibleNumber(_ lines: [String]) -> Int? {
        let key = Array("IDX=".utf8)
        let before = Array("<, \"".utf8)
        for (number, line) in lines.enumerated() {
            let bytes = Array(line.utf8)
            guard bytes.count > key.count else { continue }
            for at in 1..<bytes.count - key.count + 1
            where bytes[at] == key[0] && bytes[at..<at + key.count].elementsEqual(key) && before.contains(bytes[at - 1]) {
                let digits = bytes[(at + key.count)...].prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
                guard let value = Int(String(decoding: digits, as: UTF8.self)), value <= largestNumber else {
                    return number + 1
                }
            }
        }
        return nil
    }

    var sampleCount: Int { Int(chts_entries(pointer, BCF_DT_SAMPLE)) }
    var contigCount: Int { Int(chts_entries(pointer, BCF_DT_CTG)) }

    /// Whether each number of a dictionary has an entry.
    func entries(_ dictionary: Int32) -> [Bool] {
        (0..<chts_entries(pointer, dictionary)).map { chts_has_entry(pointer, dictionary, $0) != 0 }
    }

    /// The header's text: as in VCF, or as in BCF, where each line has its number in the dictionary.
    func text(isBCF: Bool) -> [UInt8]? {
        let text = HTSBytes()
        guard bcf_hdr_format(pointer, isBCF ? 1 : 0, &text.value) == 0 else { return nil }
        return Array(text.bytes)
    }
}

/// A growing row of bytes that htslib appends to.
final class HTSBytes: @unchecked Sendable {
    var value = kstring_t()

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: value.s, count: value.l) }

    func removeAll() { value.l = 0 }

    /// Replaces the content. False when there is no memory.
    func set(_ bytes: UnsafeRawBufferPointer) -> Bool {
        value.l = 0
        guard let start = bytes.baseAddress else { return kputsn("", 0, &value) >= 0 }
        return kputsn(start.assumingMemoryBound(to: CChar.self), bytes.count, &value) >= 0
    }

    deinit { free(value.s) }
}

/// One record, used again and again.
final class HTSRecord: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<bcf1_t>

    init() {
        guard let made = bcf_init() else { fatalError("no memory for a record") }
        pointer = made
    }

    deinit { bcf_destroy(pointer) }
}

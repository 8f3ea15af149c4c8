import Foundation
import FuzzSupport
import KeyDelivery
import Kernels

/// Key containers (ETSI GS QKD 014, 6.3) as a key server of any make, or somebody in its place, may send them.
@_cdecl("LLVMFuzzerInitialize") public func initialize(
    _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutableRawPointer
) -> Int32 {
    let texts = [
        #"{"keys":[{"key_ID":"bc490419-7d60-487f-adc1-4ddcc177c139","key":"wHHVxRwDJs3/bXd38GHP3oe4svTuRpZS0yCC7x4Ly+s="}]}"#,
        #"{ "key_container_extension":{"a":[1,2.5e3,null,true,{"b":"\"]}"}]}, "keys" : [ {"key":"AAAA","key_ID":"x"},"#
            + #"{"vendor":"\\","key_ID":"y","key":"\/\/8="} ] }"#,
        #"{"keys":[]}"#, "{}", #"{"keys":[{"key_ID":"z","key":"="}]}"#,
    ]
    writeSeeds(texts.map { Array($0.utf8) })
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput") public func test(_ start: UnsafeRawPointer, _ count: Int) -> Int32 {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    // Exact, so that the guard page behind is met by the first byte too many.
    let memory = SecureBytes(copying: input)
    guard let keys = outcome({ try KeyContainerReader.read(memory, count: count) }) else {
        require(memory.withUnsafeBytes { $0.allSatisfy { $0 == 0 } }, "a refused container was not wiped")
        return 0
    }
    let total = keys.lengths.reduce(0, +)
    require(keys.identifiers.count == keys.lengths.count && total <= count, "keys without names or beyond the text")
    require(keys.bytes.withUnsafeBytes { $0[total...].allSatisfy { $0 == 0 } }, "text is left behind the keys")
    // What was taken for a container is one for the reader of the platform too, with the same keys in the same order.
    struct Container: Decodable {
        struct Key: Decodable {
            var key_ID: String
            var key: String
        }
        var keys: [Key]
    }
    guard let other = try? JSONDecoder().decode(Container.self, from: Data(input)) else { return 0 }
    require(other.keys.map(\.key_ID) == keys.identifiers, "other identifiers than Foundation reads")
    var index = 0
    keys.forEach { _, key in
        let text = Data(base64Encoded: other.keys[index].key)
        require(text == nil || text == Data(key), "another key than Foundation reads")
        index += 1
    }
    return 0
}

import Foundation
import KeyDelivery
import Kernels
import TestSupport
import Testing

/// What a key server may answer, in every form and in none.
@Suite struct KeyContainerTests {
    /// The text ends at a guard page as nearly as it can, so that a read beyond it stops the process.
    private func read(_ text: [UInt8]) throws -> KeyContainer {
        let memory = SecureBytes(count: text.count)
        memory.withUnsafeMutableBytes { $0.copyBytes(from: text) }
        return try KeyContainerReader.read(memory, count: text.count)
    }

    private func read(_ text: String) throws -> [String: [UInt8]] {
        let container = try read(Array(text.utf8))
        var keys: [String: [UInt8]] = [:]
        container.forEach { keys[$0] = Array($1) }
        return keys
    }

    @Test func formsOfJSONThatAreValid() throws {
        #expect(try read("{\"keys\":[]}").isEmpty)
        #expect(try read("{\"keys\":[{\"key_ID\":\"a\",\"key\":\"AAEC\"}]}") == ["a": [0, 1, 2]])
        #expect(
            try read(
                " {\n\"x\" : {\"keys\":[{\"key\":1}]} ,\"keys\": [ { \"key\" : \"\\/\\/8=\" , \"more\":[1e5,-2,null,\"\\\\\"],"
                    + "\"key_ID\":\"b\" }\t,{\"key_ID\":\"c\",\"key\":\"+w==\"}] , \"y\": \"]}\\\"\" }\r\n")
                == ["b": [255, 255], "c": [251]])
    }

    @Test(arguments: [
        "", "{", "[]", "null", "{}", "{\"keys\":{}}", "{\"keys\":[}", "{\"keys\":[]", "{\"keys\":[]}x",
        "{\"keys\":[1]}",
        "{\"keys\":[{}]}", "{\"keys\":[{\"key_ID\":\"a\"}]}", "{\"keys\":[{\"key\":\"AAEC\"}]}",
        "{\"keys\":[{\"key_ID\":\"a\",\"key\":\"\"}]}", "{\"keys\":[{\"key_ID\":\"a\",\"key\":\"AAE\"}]}",
        "{\"keys\":[{\"key_ID\":\"a\",\"key\":\"AA-_\"}]}", "{\"keys\":[{\"key_ID\":\"a\",\"key\":\"AAEC",
        "{\"keys\":[{\"key_ID\":\"a\",\"key\":\"AAEC\\\"}]}", "{\"keys\":[{\"key_ID\":\"a\",\"key\":\"AAE\\u0043\"}]}",
        "{\"keys\":[{\"key_ID\":\"\\u0061\",\"key\":\"AAEC\"}]}", "{\"keys\":[{\"key_ID\":7,\"key\":\"AAEC\"}]}",
        "{\"keys\":[{\"key_ID\":\"a\",\"key\":\"AAEC\"},]}", "{\"keys\":[],\"keys\"}",
        "{\"a\":" + String(repeating: "[", count: 200),
    ])
    func whatIsNoContainerIsRefused(text: String) {
        #expect(throws: KeyContainerReader.Malformed.self) { try read(text) }
    }

    @Test func damagedAnswersNeverStopTheProcess() {
        var generator = SystemRandomNumberGenerator()
        let key = [UInt8]((0..<900).map { UInt8(truncatingIfNeeded: $0) })
        let entry =
            "{\"key_ID\":\"550e8400-e29b-41d4-a716-446655440000\",\"key\":\"\(Data(key).base64EncodedString())\"}"
        let text = Array("{\"keys\": [\(entry),\(entry)],\"key_container_extension\":{\"a\":[1,\"\\\\\"]}}".utf8)
        let marks = Array("\"\\{}[],:=/ \n0".utf8)
        var taken = 0
        for round in 0..<20_000 {
            var damaged = text
            for _ in 0...round % 3 {
                let at = Int.random(in: 0..<damaged.count, using: &generator)
                switch round % 4 {
                case 0: damaged[at] = marks.randomElement(using: &generator) ?? 0
                case 1: damaged.remove(at: at)
                case 2: damaged.insert(marks.randomElement(using: &generator) ?? 0, at: at)
                default: damaged.removeLast(damaged.count - max(1, at))
                }
            }
            guard let container = try? read(damaged) else { continue }
            taken += 1
            if container.lengths.reduce(0, +) > damaged.count { Issue.record("more key than text") }
        }
        // Most damage is in the base64 or outside the keys; what is still valid is taken.
        #expect(taken < 20_000)
    }
}

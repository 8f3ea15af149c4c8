import Diagnostics
import Foundation
import Hardware
import Testing
import Threads

/// What profiles say of where worker threads run.
@Suite(.serialized)
struct PinnedThreadsTests {
    private func profile(pinning: String) throws -> HardwareProfile {
        let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).json").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let text = """
            {"name": "p", "matches": {"architecture": "any", "isa": "portable"},
             "uses": {"isa": "neon", "threads": 1, "queued_batches": 2\(pinning)}}
            """
        #expect(FileManager.default.createFile(atPath: path, contents: Data(text.utf8)))
        return try HardwareProfile.choose(path)
    }

    private var usable: [Int] { (0..<1024).filter { WorkerThreads.mayUse(cpu: $0) } }

    @Test func workersStayOnTheirCPUs() throws {
        let cpus = usable
        try profile(pinning: #", "pin_threads": \#(cpus)"#).apply()
        #expect(WorkerThreads.cpus == cpus)
        for worker in 0..<2 * cpus.count {
            let mine = cpus[worker % cpus.count]
            let done = DispatchSemaphore(value: 0)
            let thread = Thread {
                WorkerThreads.pin(worker: worker)
                for cpu in cpus { #expect(WorkerThreads.mayUse(cpu: cpu) == (cpu == mine)) }
                done.signal()
            }
            thread.start()
            done.wait()
        }
        // The thread that starts workers is none, and the next profile has no list.
        #expect(usable == cpus)
        try profile(pinning: "").apply()
        #expect(WorkerThreads.cpus.isEmpty)
    }

    @Test(arguments: ["[]", "[0, 0]", "[-1]", "[100000]", #"["0"]"#, "0"])
    func unusableListsAreRefused(list: String) throws {
        do {
            _ = try profile(pinning: #", "pin_threads": \#(list)"#)
            Issue.record("accepted \(list)")
        } catch let failure as Failure {
            #expect(failure.kind == .configuration && "\(failure)".contains("pin_threads"))
        }
    }
}

import Diagnostics
import Foundation
import KeyDelivery
import KeyNetwork
import TestSupport
import Testing

/// The doors as the network file has them.
@Suite struct DoorServiceTests {
    private func topology(_ doors: KeyDoors?, directory: String = "/tmp") -> NetworkTopology {
        var node = NetworkTopology.Node(name: "a", host: "127.0.0.1", kmaPort: 1, directory: directory)
        node.etsi = doors
        return NetworkTopology(
            pool: "bank", kms: "a", nodes: [node], links: [], roles: [.init(name: "alice", node: "a")])
    }

    private func doors(_ change: (inout KeyDoors) -> Void) -> KeyDoors {
        var doors = KeyDoors(certificate: "a.pem", privateKey: "a.key", authority: "authority.pem")
        change(&doors)
        return doors
    }

    @Test func doorsThatCannotBeAreRefused() throws {
        #expect(throws: Never.self) { try topology(nil).validate() }
        #expect(throws: Never.self) { try topology(doors { $0.port004 = 1 }).validate() }
        #expect(thrown { try topology(doors { _ in }).validate() }?.problem.contains("neither port_014") == true)
        for seconds in [0, -1, .infinity, .nan, 86_401] {
            let wrong = doors {
                $0.port014 = 1
                $0.keyLifetimeS = seconds
            }
            #expect(thrown { try topology(wrong).validate() }?.problem.contains("key_lifetime_s") == true)
        }
    }

    @Test func pathsAreRelativeToTheNode() throws {
        let directory = "/tmp/dsgde-" + UUID().uuidString.prefix(8)
        let authority = try Authority(String(directory))
        defer { try? FileManager.default.removeItem(atPath: authority.directory) }
        try authority.issue("a")
        let wanted = doors {
            $0.port014 = 0
            $0.port004 = 0
        }
        let service = try #require(
            try KeyDoorService(node: "a", topology: topology(wanted, directory: directory)) { _ in })
        #expect(service.port014 ?? 0 > 0 && service.port004 ?? 0 > 0 && service.port014 != service.port004)
        service.start()
        service.stop()
        #expect(try KeyDoorService(node: "a", topology: topology(nil)) { _ in } == nil)
        let absent = doors {
            $0.port014 = 0
            $0.certificate = "/nowhere/a.pem"
        }
        let failure = thrown {
            _ = try KeyDoorService(node: "a", topology: topology(absent, directory: directory)) { _ in }
        }
        #expect(failure?.kind == .noInput && failure?.place == "/nowhere/a.pem")
    }
}

internal import Channel
internal import Diagnostics
internal import Foundation
internal import Glibc
internal import KeyNetwork
internal import Storage

/// A whole bank on this machine: every role a process of its own on loopback, for demonstrations and tests.
///
/// It writes the network file and one configuration a process, starts `dsgd serve` for each and waits until it says
/// that it is ready. Processes die with the one that started them.
public final class LocalBank {
    public struct Options: Sendable {
        /// Directory for configurations, states and logs.
        public var directory: String
        public var reference: String
        /// Program to start; the running one by default.
        public var program: String
        /// Key rate of each link in Mbit/s and key in store at the start in MiB.
        public var linkRate: Double
        public var linkStock: Double
        public var users: [String]
        public var threads: Int
        /// Extra environment of the processes.
        public var environment: [String: String] = [:]

        public init(
            directory: String, reference: String, program: String = "/proc/self/exe", linkRate: Double = 40,
            linkStock: Double = 64, users: [String], threads: Int = 0
        ) {
            self.directory = directory
            self.reference = reference
            self.program = program
            self.linkRate = linkRate
            self.linkStock = linkStock
            self.users = users
            self.threads = threads
        }
    }

    public let options: Options
    public let network: NetworkConfiguration
    /// Names of the processes in the order in which they start.
    public private(set) var processNames: [String] = []
    private var processes: [String: Process] = [:]

    /// Writes all configuration files.
    public init(_ options: Options) throws {
        var options = options
        options.directory = URL(fileURLWithPath: options.directory).standardizedFileURL.path
        if options.program == "/proc/self/exe" {
            options.program = URL(fileURLWithPath: options.program).resolvingSymlinksInPath().path
        }
        self.options = options
        try createPrivateDirectory(options.directory)
        network = try Self.makeNetwork(options)
        try writeTOML(network, to: options.directory + "/network.toml")
        try writeProcessFiles()
    }

    /// The paper's network: five trusted nodes; holders, owner, trusted server and users at them.
    private static func makeNetwork(_ options: Options) throws -> NetworkConfiguration {
        var ports = try Sockets.freePorts(5 + 5 + 1).map(Int.init).makeIterator()
        let basePorts = (0..<5).map { _ in ports.next()! }
        var key = NetworkTopology.tokyo(
            directory: options.directory + "/state", roles: [], rateMbitPerS: options.linkRate,
            stockMib: options.linkStock,
            basePort: 1)
        for index in key.nodes.indices { key.nodes[index].kmaPort = UInt16(basePorts[index]) }
        // Node names are the network's own; each node's directory is the state of the process that plays it.
        let roles = Self.roles(at: key.nodes.map(\.name), users: options.users) { ports.next()! }
        return NetworkConfiguration(key: key, roles: roles)
    }

    /// Who sits where: owner, holder A and trusted server at the first node, holders B and C at the next two, users at
    /// the fifth, over the long links.
    private static func roles(at nodes: [String], users: [String], port: () -> Int) -> [RoleAddress] {
        func role(_ name: String, _ kind: RoleKind, at place: Int, share: String? = nil) -> RoleAddress {
            RoleAddress(
                name: name, kind: kind, node: nodes[place], host: "127.0.0.1", port: kind == .user ? 0 : port(),
                share: share)
        }
        return [
            role("data-owner", .dataOwner, at: 0), role("holder-a", .shareHolder, at: 0, share: "a"),
            role("trusted-server", .trustedServer, at: 0), role("holder-b", .shareHolder, at: 1, share: "b"),
            role("holder-c", .shareHolder, at: 2, share: "c"),
        ] + users.map { role($0, .user, at: 4) }
    }

    /// The paper's network with a bank's roles, as the demonstration has it, for plans without a bank.
    ///
    /// - Parameters:
    ///   - linkRate: key rate of each link in Mbit/s; nil for what its fibre gives.
    ///   - linkStock: key of each link at the start, in MiB.
    public static func paperNetwork(linkRate: Double?, linkStock: Double) -> NetworkConfiguration {
        let key = NetworkTopology.tokyo(directory: "/", roles: [], rateMbitPerS: linkRate, stockMib: linkStock)
        return NetworkConfiguration(key: key, roles: roles(at: key.nodes.map(\.name), users: ["user"]) { 1 })
    }

    private func writeProcessFiles() throws {
        func write(_ name: String, plays: [String], reference: String? = nil, isService: Bool = true) throws {
            let process = ProcessConfiguration(
                network: "network.toml", state: "state/\(name)", plays: plays, reference: reference,
                threads: options.threads, allowKernelRandom: true)
            try writeTOML(process, to: configurationPath(of: name))
            if isService { processNames.append(name) }
        }
        for node in network.nodes { try write(node.name, plays: [node.name]) }
        try write("link-model", plays: ["link-model"])
        try write("holder-b", plays: ["holder-b"])
        try write("holder-c", plays: ["holder-c"])
        try write("data-owner", plays: ["holder-a", "data-owner"])
        try write(
            "trusted-server", plays: ["trusted-server"],
            reference: URL(fileURLWithPath: options.reference).standardizedFileURL.path)
        for user in options.users { try write(user, plays: [user], isService: false) }
    }

    public func configurationPath(of name: String) -> String { options.directory + "/\(name).toml" }

    public func statePath(of name: String) -> String { options.directory + "/state/\(name)" }

    public var ownerSocket: String { DataOwner.adminSocketPath(stateDirectory: statePath(of: "data-owner")) }

    /// Starts every process and waits until it is ready.
    public func start(progress: (String) -> Void = { _ in }) throws {
        for name in processNames {
            progress(name)
            try start(name)
        }
    }

    /// Starts one process and waits until it is ready.
    public func start(_ name: String, environment extra: [String: String] = [:], timeout: Double = 120) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: options.program)
        process.arguments = ["serve", "-c", configurationPath(of: name), "--parent", String(getpid())]
        var environment = ProcessInfo.processInfo.environment
        environment.merge(options.environment) { $1 }
        environment.merge(extra) { $1 }
        process.environment = environment
        let logPath = options.directory + "/\(name).log"
        if !FileManager.default.fileExists(atPath: logPath) {
            _ = FileManager.default.createFile(atPath: logPath, contents: nil, attributes: [.posixPermissions: 0o600])
        }
        let log = FileHandle(forWritingAtPath: logPath)
        _ = try log?.seekToEnd()
        process.standardError = log
        let ready = Pipe()
        process.standardOutput = ready
        process.standardInput = FileHandle.nullDevice
        try process.run()
        processes[name] = process
        // The child's end is closed here, so that its death is seen as the end of the pipe.
        try? ready.fileHandleForWriting.close()
        guard Self.waitForLine(ready.fileHandleForReading.fileDescriptor, timeout: timeout) else {
            process.terminate()
            let lines = (try? String(contentsOfFile: logPath, encoding: .utf8))?.split(separator: "\n") ?? []
            throw Failure(
                .peerUnavailable, at: name, "its process did not start: \(lines.last ?? "it wrote nothing")",
                remedy: "see \(logPath)")
        }
    }

    private static func waitForLine(_ descriptor: Int32, timeout: Double) -> Bool {
        var waited = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&waited, 1, Int32(timeout * 1000)) == 1 else { return false }
        var byte: UInt8 = 0
        return read(descriptor, &byte, 1) == 1
    }

    /// Stops one process; `signal` is SIGTERM, or SIGKILL (9) for a crash.
    public func stop(_ name: String, signal: Int32 = 15) {
        guard let process = processes.removeValue(forKey: name) else { return }
        kill(process.processIdentifier, signal)
        process.waitUntilExit()
    }

    public func isRunning(_ name: String) -> Bool { processes[name]?.isRunning ?? false }

    /// Stops all processes, roles before the key nodes that feed them.
    public func stop() {
        for name in processNames.reversed() { stop(name) }
    }

    deinit { stop() }

    /// Runs `dsgd` as one of the bank's people would, and returns its exit code and what it printed.
    public func run(_ arguments: [String]) throws -> (exitCode: Int32, output: String, error: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: options.program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(options.environment) { $1 }
        let output = Pipe()
        let errors = Pipe()
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let errorText = Unchecked(errors.fileHandleForReading)
        let collected = Collected()
        let finished = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            collected.bytes = errorText.value.readDataToEndOfFile()
            finished.signal()
        }
        let text = output.fileHandleForReading.readDataToEndOfFile()
        finished.wait()
        process.waitUntilExit()
        return (
            process.terminationStatus, String(decoding: text, as: UTF8.self),
            String(decoding: collected.bytes, as: UTF8.self)
        )
    }

    /// Filled by one thread, read by another after a semaphore.
    private final class Collected: @unchecked Sendable { var bytes = Data() }
}

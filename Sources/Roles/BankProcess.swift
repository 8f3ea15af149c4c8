internal import Bank
internal import Channel
internal import Diagnostics
internal import Engines
internal import Foundation
internal import GenomicFormats
internal import Hardware
internal import Kernels
internal import KeyDelivery
internal import KeyNetwork
internal import Randomness
internal import Storage

/// One process of a bank: the roles and key nodes that its configuration names, started in order and stopped together.
public final class BankProcess {
    private let configuration: LoadedConfiguration
    private let log: @Sendable (String) -> Void
    private var stops: [() -> Void] = []
    /// Keeps the services alive until `stop`.
    private var services: [Any] = []
    /// Opened at first use: a file of random numbers is read once, whoever in the process asks.
    private var device: HealthTestedSource?

    public init(configuration: LoadedConfiguration, log: @escaping @Sendable (String) -> Void) {
        self.configuration = configuration
        self.log = log
    }

    /// Starts everything; returns when all roles answer.
    public func start() throws {
        let process = configuration.process
        let network = configuration.network
        try createPrivateDirectory(process.state)
        var holders: [(RoleAddress, ShareHolder)] = []
        for name in process.plays {
            if name == "link-model" {
                try startLinkModel()
            } else if network.nodes.contains(where: { $0.name == name }) {
                try startKeyNode(name)
            }
        }
        let roles = try process.plays.filter { name in
            name != "link-model" && !network.nodes.contains { $0.name == name }
        }.map { try network.role($0) }
        for role in roles where role.kind == .shareHolder { holders.append((role, try startHolder(role))) }
        for role in roles where role.kind == .dataOwner { try startOwner(role, holders: holders) }
        for role in roles where role.kind == .trustedServer { try startTrustedServer(role) }
        for role in roles where role.kind == .user {
            throw Failure(
                .configuration, at: "role \(role.name)", "a user is no service", remedy: "use `dsgd request -c` for it")
        }
        for role in roles where role.kind == .application {
            throw Failure(
                .configuration, at: "role \(role.name)", "an application is no process of the bank",
                remedy: "let it take key at its node's doors, with its certificate")
        }
    }

    /// Stops everything in reverse order and closes the ledgers.
    public func stop() {
        for stop in stops.reversed() { stop() }
        stops = []
        services = []
    }

    private func startLinkModel() throws {
        let model = try LinkModel(configuration.network.topology, source: deviceSource())
        model.start()
        stops.append { model.stop() }
        services.append(model)
    }

    private func startKeyNode(_ name: String) throws {
        let node = try KeyNode(
            name: name, topology: configuration.network.topology, source: deviceSource())
        try node.start()
        stops.append { try? node.stop() }
        services.append(node)
        if let doors = try KeyDoorService(node: name, topology: configuration.network.topology, log: log) {
            doors.start()
            stops.append { doors.stop() }
            services.append(doors)
        }
    }

    private func telephone(_ role: RoleAddress) throws -> Telephone {
        let telephone = try Telephone(role: role, configuration: configuration, log: log)
        stops.append { telephone.close() }
        return telephone
    }

    private func startHolder(_ role: RoleAddress) throws -> ShareHolder {
        let owner = try configuration.network.only(.dataOwner).name
        let holder = try ShareHolder(
            directory: configuration.process.state + "/shares-\(role.share ?? role.name)", owner: owner, log: log)
        let listener = try telephone(role).listen(log: log) { try holder.serve($0) }
        stops.append { listener.stop() }
        services.append(holder)
        return holder
    }

    private func startOwner(_ role: RoleAddress, holders: [(RoleAddress, ShareHolder)]) throws {
        guard let own = holders.first(where: { $0.0.share == "a" }) else {
            throw Failure(
                .configuration, at: "role \(role.name)", "its process does not play the holder of share a",
                remedy: "add that holder to `plays`: the data owner keeps share A itself")
        }
        let owner = try DataOwner(
            telephone: telephone(role), network: configuration.network, stateDirectory: configuration.process.state,
            random: randomSource(), ownHolder: (own.0, own.1), log: log)
        try owner.start()
        stops.append { owner.stop() }
        services.append(owner)
    }

    /// The generator that the process file names, under health tests; nil when it names none.
    private func deviceSource() throws -> (any RandomSource)? {
        if device == nil { device = try configuration.process.randomDevice.map { try HealthTestedSource(device: $0) } }
        return device
    }

    /// The source of the sharing's random numbers: Table 1 asks for one without period.
    private func randomSource() throws -> any RandomSource {
        let device = configuration.process.randomDevice
        let isKernel = device == nil || device == HealthTestedSource.expandedKernel
        guard !isKernel || configuration.process.allowKernelRandom == true else {
            throw Failure(
                .configuration, at: "random numbers", "no hardware source is configured",
                remedy:
                    "set random_device, or allow_kernel_random = true if the kernel's generator is good enough for you")
        }
        return try deviceSource() ?? HealthTestedSource(wrapping: KernelRandomSource())
    }

    private func startTrustedServer(_ role: RoleAddress) throws {
        guard let path = configuration.process.reference else {
            throw Failure(
                .configuration, at: "role \(role.name)", "it has no reference genome",
                remedy: "set reference = \"genome.fa.gz\" in its file")
        }
        // Plaintext must not reach swap, and freed memory is overwritten before it can be handed out again.
        wipeFreedMemory()
        if !lockAllMemory() { log("memory cannot be locked: raise LimitMEMLOCK, or plaintext may reach swap") }
        let profile = try HardwareProfile.choose(configuration.process.hardwareProfile)
        profile.apply()
        let wanted = configuration.process.threads ?? 0
        let threads = wanted > 0 ? wanted : profile.threads
        let engine = CPUEngine(profile: profile, threads: threads)
        let genome = try FASTAReader.read(path)
        try engine.prepare(genome)
        let server = TrustedServer(
            telephone: try telephone(role), network: configuration.network, engine: engine, genome: genome,
            hardwareProfile: profile.name, threads: threads, log: log)
        try server.start()
        stops.append { server.stop() }
        services.append(server)
    }
}

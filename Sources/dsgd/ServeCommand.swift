import ArgumentParser
import Diagnostics
import Foundation
import Kernels
import Roles

struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Play the roles that a configuration file names, until SIGTERM.",
        discussion: """
            The file says which roles and key nodes this process plays; the network file that it names is common to
            all processes. Pad comes from the roles' key nodes, or for single peers from other key servers that speak \
            ETSI GS QKD 014 ([[key_servers]]). docs/CONFIGURATION.md has every key. When all roles answer, one line goes \
            to standard output.
            """)

    @Option(name: [.short, .customLong("config")], help: "Configuration of this process (TOML).")
    var config: String

    @Option(help: ArgumentHelp("End when the process with this number ends.", visibility: .hidden))
    var parent: Int32?

    func run() throws {
        let process = BankProcess(configuration: try LoadedConfiguration(path: config)) { line in
            Terminal.say("\(timeOfDay()) \(line)")
        }
        var signals = blockedEndSignals()
        if let parent { try Self.endWithParent(parent) }
        do {
            try process.start()
        } catch {
            process.stop()
            throw error
        }
        print("ready")
        fflush(nil)
        var received: Int32 = 0
        sigwait(&signals, &received)
        process.stop()
        throw ExitCode(128 + received)
    }

    /// Asks the kernel for SIGTERM when the parent ends, and looks whether it already has.
    private static func endWithParent(_ parent: Int32) throws {
        requestSignalWhenParentEnds()
        guard getppid() == parent else {
            throw Failure(.peerUnavailable, at: "parent", "it has ended", remedy: "start the bank again")
        }
    }
}

/// Signals that end a service are taken by a thread that waits for them, so that ledgers are closed by ordinary code.
func blockedEndSignals() -> sigset_t {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGTERM)
    sigaddset(&signals, SIGINT)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    return signals
}

func timeOfDay() -> String {
    var now = time(nil)
    var parts = tm()
    gmtime_r(&now, &parts)
    return String(format: "%02d:%02d:%02dZ", parts.tm_hour, parts.tm_min, parts.tm_sec)
}

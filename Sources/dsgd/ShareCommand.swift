import ArgumentParser
import Diagnostics
import Foundation
import Randomness
import SecretSharing

struct ShareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "share",
        abstract: "XOR (2,3) secret sharing of files: any two of three shares restore, one alone says nothing.",
        subcommands: [Split.self, Join.self, Verify.self, Repair.self, Refresh.self])
}

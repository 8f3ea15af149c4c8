internal import Diagnostics
internal import Foundation

/// Creates a directory that only this account can read, with its parents.
public func createPrivateDirectory(_ path: String) throws {
    do {
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
        throw Failure(
            .cannotCreate, at: path, "the directory cannot be created: \(error.localizedDescription)",
            remedy: "check the parent directory and its permissions")
    }
}

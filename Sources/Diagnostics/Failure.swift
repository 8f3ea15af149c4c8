/// What went wrong, for a person and for a script: one line that names the place and the remedy, and an exit code.
///
/// Every module throws this type for what the world did (bad input, a silent peer, a full disk). What the programmer
/// did is a `precondition`. A message never carries bases, genotypes or key bytes.
public struct Failure: Error, Sendable, Equatable, CustomStringConvertible {
    public var kind: FailureKind
    /// The file, peer or option, with the record, line or byte where that is known.
    public var place: String
    /// What is wrong, in one sentence without a full stop.
    public var problem: String
    /// What to do about it.
    public var remedy: String

    public init(_ kind: FailureKind, at place: String, _ problem: String, remedy: String) {
        self.kind = kind
        self.place = place
        self.problem = problem
        self.remedy = remedy
    }

    public var description: String { "\(place): \(problem); \(remedy)" }
}

/// The kinds of failure and the exit code of each, after BSD's sysexits where it has one.
public enum FailureKind: Int32, Sendable, Codable, CaseIterable {
    case usage = 64
    case data = 65
    case noInput = 66
    case peerUnavailable = 69
    case internalError = 70
    case cannotCreate = 73
    case inputOutput = 74
    case notAuthorised = 77
    case configuration = 78
    /// Safe to try again as it is: a peer or key was not there in time.
    case transient = 175

    public var exitCode: Int32 { rawValue }
}

/// Where a lane of reads comes from: the read group of SAM 1.6, section 1.3.
public struct ReadGroup: Sendable, Codable, Equatable {
    /// SAM's ID, one for each lane and library.
    public var id: String
    /// SAM's SM.
    public var sample: String
    /// SAM's LB: duplicates are copies of one molecule only inside a library.
    public var library: String
    /// SAM's PU.
    public var platformUnit: String

    public init(id: String, sample: String, library: String, platformUnit: String) {
        self.id = id
        self.sample = sample
        self.library = library
        self.platformUnit = platformUnit
    }

    /// The number of each group's library, in the order of their first mention.
    public static func libraries(of groups: [ReadGroup]) -> [Int] {
        var numbers: [String: Int] = [:]
        return groups.map { group in
            let number = numbers[group.library] ?? numbers.count
            numbers[group.library] = number
            return number
        }
    }

    /// Reads of one sample of which nothing else is known.
    public init(sample: String) {
        self.init(id: sample, sample: sample, library: sample, platformUnit: sample)
    }
}

/// The files of one lane: two files of mates, or one.
public struct ReadLane: Sendable, Equatable {
    /// `-` is standard input.
    public var paths: [String]
    /// The place of the lane's read group in the job's list.
    public var readGroup: Int

    public init(paths: [String], readGroup: Int = 0) {
        self.paths = paths
        self.readGroup = readGroup
    }
}

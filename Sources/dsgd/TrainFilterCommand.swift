import ArgumentParser
import Calling
import Diagnostics
import FilterTraining
import Storage

struct TrainFilterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train-filter",
        abstract: "Learn the weights of the learned filter from calls with known truth, and judge them.",
        discussion: """
            The list has a line for each sample: name, train or held-out, calls, truth, reference, and regions or a \
            dot, between tabs. Calls are what `dsgd genotype --features --no-learned-filter` writes. Without samples \
            to train on, the weights of this program are judged. scripts/train-filter makes the samples and the list.
            """,
        shouldDisplay: false)

    @Argument(help: "List of samples.", completion: .file()) var list: String
    @Option(help: "Swift source with the weights to write.", completion: .file()) var weights: String?
    @Option(help: "Cost of a weight; when left out, the one under which samples that are left out are predicted well.")
    var penalty: Double?

    func validate() throws {
        guard penalty.map({ $0.isFinite && $0 > 0 }) ?? true else {
            throw ValidationError("--penalty is a number above 0")
        }
    }

    func run() throws {
        let sources = try LabelledCalls.sources(list)
        try checkFileNames(
            inputs: [list] + sources.flatMap { [$0.calls, $0.truth, $0.reference] },
            outputs: [weights].compactMap(\.self))
        let sets = try sources.map { try LabelledCalls($0) }
        let training = sets.filter { $0.source.use == .train }
        let heldOut = sets.filter { $0.source.use == .heldOut }
        var text = ""
        var filter = LearnedFilter.trained
        if !training.isEmpty {
            var cost = penalty
            if cost == nil {
                let choice = FilterTrainer.choosePenalty(training.map(\.rows))
                text += "Loss of samples left out, by penalty: \(choice.losses); chosen: \(choice.penalty).\n\n"
                cost = choice.penalty
            }
            filter = FilterTrainer(penalty: cost!).fit(training.flatMap(\.rows))
        }
        let report = FilterReport(filter)
        text += report.coefficients
        for (name, sets) in [("Training", training), ("Held out", heldOut)] where !sets.isEmpty {
            text += "\n\(name): accuracy\n\n\(try report.accuracy(sets))\n\(name): surprise per 1000 records\n\n"
                + "\(report.losses(sets))\n\(name): calibration\n\n\(report.calibration(sets))"
        }
        try printResult(text)
        guard let weights, !training.isEmpty else { return }
        let file = try PartialFile(path: weights, audience: .everyone)
        try file.write(Array(report.source(trainedOn: training).utf8))
        try file.commit()
    }
}

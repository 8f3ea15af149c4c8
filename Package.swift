// swift-tools-version: 6.2
import PackageDescription

// One rule for every Swift target: existentials are spelled, imports are private unless said, warnings stop the build.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

// The kernels are optimised in debug builds too: the last -O on the command line wins.
let kernel: [CSetting] = [
    .unsafeFlags(["-O3"]), .enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error),
]

// The program has Swift's libraries inside it in release builds: loading them takes longer than many commands do. The
// compiler names only those that a target imports, so that what Foundation itself is made of is spelled out. Tests must
// not depend on `dsgd`: they would be linked in the same way, and hold Foundation beside that of XCTest. A toolchain that
// has no static libraries, or others, builds with DSGD_SHARED_SWIFT=1 in the environment.
let startsFast: [LinkerSetting] = Context.environment["DSGD_SHARED_SWIFT"] != nil ? [] : [
    .unsafeFlags(
        ["-static-stdlib", "-Xlinker", "--start-group"]
            + [
                "Foundation", "FoundationInternationalization", "FoundationEssentials", "CoreFoundation",
                "_FoundationICU", "_FoundationCShims", "_FoundationCollections", "swiftSynchronization",
            ].map { "-l" + $0 }
            + ["-Xlinker", "--end-group", "-Xlinker", "--no-export-dynamic"],
        .when(platforms: [.linux], configuration: .release))
]

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestSupport"], exclude: exclude, swiftSettings: strict)
}

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let toml: Target.Dependency = .product(name: "TOMLKit", package: "TOMLKit")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

// Layers, lowest first. docs/ARCHITECTURE.md has the table; Tests/LayeringTests holds every import to it.
let package = Package(
    name: "dsgd",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "dsgd", targets: ["dsgd"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ],
    targets: [
        // System libraries and C kernels.
        .systemLibrary(
            name: "CZlib", path: "Sources/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(
            name: "CDeflate", path: "Sources/CDeflate", pkgConfig: "libdeflate", providers: [.apt(["libdeflate-dev"])]),
        .systemLibrary(
            name: "CISAL", path: "Sources/CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
        .systemLibrary(
            name: "CHTS", path: "Sources/CHTS", pkgConfig: "htslib", providers: [.apt(["libhts-dev"])]),
        .systemLibrary(
            name: "CCrypto", path: "Sources/CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CTLS", path: "Sources/CTLS", pkgConfig: "libssl", providers: [.apt(["libssl-dev"])]),
        .target(name: "CKernels", path: "CKernels", publicHeadersPath: ".", cSettings: kernel),

        // Swift face of the kernels, and the stages every layer measures.
        library("Diagnostics"),
        library("Metering"),
        library("Threads", ["CKernels"]),
        library("Storage", ["Diagnostics"]),
        library("Kernels", ["CKernels", "Diagnostics"]),
        library("Compression", ["Diagnostics", "Threads", "CKernels", "CDeflate", "CISAL"]),

        // Hardware wing.
        .target(
            name: "HardwareProfiles", path: "hardware-profiles", exclude: ["README.md"],
            resources: [
                .embedInCode("profiles/portable.json"), .embedInCode("profiles/x86_64-avx2.json"),
                .embedInCode("profiles/x86_64-avx512.json"), .embedInCode("profiles/arm64-neon.json"),
            ], swiftSettings: strict),
        library("Hardware", ["Diagnostics", "Threads", "Kernels", "HardwareProfiles"]),

        // Secrecy wing: knows nothing of genomes.
        library("Randomness", ["Diagnostics", "Threads", "Kernels", "Metering"]),
        library("SecretSharing", ["Diagnostics", "Storage", "Kernels", "Randomness"]),
        library("OneTimePad", ["Diagnostics", "Metering", "Kernels", grdb]),
        library("Channel", ["Diagnostics", "Metering", "Kernels", "OneTimePad", "Randomness", "CCrypto"]),
        library("KeyNetwork", ["Diagnostics", "Metering", "Kernels", "Randomness", "OneTimePad", "Channel", logging]),
        library(
            "KeyDelivery",
            ["Diagnostics", "Metering", "Kernels", "OneTimePad", "Channel", "KeyNetwork", "CCrypto", "CTLS"]),

        // Genomics wing: knows nothing of keys.
        library("GenomicFormats", ["Diagnostics", "Storage", "Kernels", "Compression"]),
        library("Mapping", ["Diagnostics", "Threads", "Storage", "Kernels", "GenomicFormats", "Metering"]),
        library("Calling", ["Diagnostics", "Threads", "Kernels", "GenomicFormats", "Mapping", "Metering"]),
        library("RunMetrics", ["Threads", "GenomicFormats", "Mapping"]),
        library("Alignments", ["Threads", "Compression", "GenomicFormats", "Mapping"]),
        library("BinaryVariants", ["CHTS", "Diagnostics", "Threads", "Storage", "Compression", "GenomicFormats"]),
        library(
            "Filtering",
            [
                "Diagnostics", "Threads", "Storage", "CKernels", "Compression", "GenomicFormats", "BinaryVariants", "Metering",
            ]),
        library("Simulation", ["Diagnostics", "Threads", "Storage", "Compression", "GenomicFormats"]),
        library("Evaluation", ["Diagnostics", "Storage", "Compression", "GenomicFormats"]),
        library(
            "FilterTraining", ["Diagnostics", "Storage", "Compression", "GenomicFormats", "Calling", "Evaluation"]),

        // Where the wings meet.
        library(
            "Engines",
            [
                "Diagnostics", "Metering", "Hardware", "Compression", "GenomicFormats", "Mapping", "Calling", "Alignments",
                "RunMetrics",
            ]),
        library("Bank", ["Diagnostics", "GenomicFormats", "Filtering", "CCrypto", grdb]),
        library(
            "Roles",
            [
                "Diagnostics", "Storage", "Kernels", "Metering", "Hardware", "Randomness", "SecretSharing", "OneTimePad", "Channel",
                "KeyNetwork", "KeyDelivery", "Compression", "GenomicFormats", "Mapping", "Filtering", "Engines", "Bank", toml, logging,
            ]),
        // Benchmarks: the shipped code, measured; `dsgd bench` runs them.
        .target(
            name: "BenchmarkSupport", dependencies: ["Metering"], path: "Benchmarks/BenchmarkSupport",
            swiftSettings: strict),
        .target(
            name: "KernelsBenchmarks",
            dependencies: [
                "BenchmarkSupport", "Kernels", "Randomness", "Compression", "CCrypto", "CDeflate", "CISAL", "CZlib",
            ],
            path: "Benchmarks/KernelsBenchmarks", swiftSettings: strict),
        .target(
            name: "ChannelBenchmarks",
            dependencies: ["BenchmarkSupport", "Diagnostics", "Threads", "Metering", "Kernels", "OneTimePad", "Channel"],
            path: "Benchmarks/ChannelBenchmarks", swiftSettings: strict),
        .target(
            name: "KeyBenchmarks",
            dependencies: [
                "BenchmarkSupport", "Diagnostics", "Metering", "Kernels", "Randomness", "OneTimePad", "Channel", "KeyNetwork",
                "KeyDelivery",
            ],
            path: "Benchmarks/KeyBenchmarks", swiftSettings: strict),
        .target(
            name: "MappingBenchmarks",
            dependencies: ["BenchmarkSupport", "Metering", "Kernels", "GenomicFormats", "Mapping"],
            path: "Benchmarks/MappingBenchmarks", swiftSettings: strict),
        .target(
            name: "FilterBenchmarks",
            dependencies: [
                "BenchmarkSupport", "Diagnostics", "Metering", "Storage", "Compression", "GenomicFormats", "Filtering",
                "Simulation",
            ],
            path: "Benchmarks/FilterBenchmarks", swiftSettings: strict),
        .executableTarget(
            name: "dsgd",
            dependencies: [
                "Diagnostics", "Storage", "Kernels", "Metering", "Hardware", "Randomness", "SecretSharing", "OneTimePad", "Channel",
                "KeyNetwork", "KeyDelivery", "Compression", "GenomicFormats", "Mapping", "Calling", "Alignments", "RunMetrics",
                "Filtering", "Simulation", "Evaluation", "FilterTraining", "Engines", "Bank", "Roles", "BenchmarkSupport",
                "KernelsBenchmarks", "MappingBenchmarks", "ChannelBenchmarks", "FilterBenchmarks", "KeyBenchmarks", argumentParser,
                logging, toml,
            ],
            swiftSettings: strict, linkerSettings: startsFast),

        // Tests, fast ones first; TestSupport is not a test.
        .target(name: "TestSupport", dependencies: ["Diagnostics", "Randomness"], path: "Tests/TestSupport", swiftSettings: strict),
        tests("LayeringTests", []),
        tests("StorageTests", ["Diagnostics", "Storage"]),
        tests("ThreadsTests", ["Threads"]),
        tests("HardwareTests", ["Diagnostics", "Threads", "Hardware"]),
        tests("KernelsTests", ["CKernels", "Kernels"]),
        tests("RandomnessTests", ["Diagnostics", "Kernels", "Randomness"]),
        tests("SecretSharingTests", ["Diagnostics", "Kernels", "Randomness", "SecretSharing"]),
        tests("OneTimePadTests", ["Diagnostics", "Kernels", "OneTimePad", grdb]),
        tests("ChannelTests", ["Diagnostics", "Kernels", "OneTimePad", "Channel"]),
        tests("KeyNetworkTests", ["Diagnostics", "Kernels", "Randomness", "OneTimePad", "Channel", "KeyNetwork", grdb]),
        tests("KeyDeliveryTests", ["Diagnostics", "Kernels", "OneTimePad", "Channel", "KeyNetwork", "KeyDelivery"]),
        tests("CompressionTests", ["Diagnostics", "Compression", "CZlib"]),
        tests("GenomicFormatsTests", ["Diagnostics", "Storage", "Compression", "GenomicFormats"]),
        tests("BinaryVariantsTests", ["Diagnostics", "Compression", "BinaryVariants"]),
        tests(
            "FilteringTests",
            [
                "Diagnostics", "Storage", "CKernels", "Kernels", "Compression", "GenomicFormats", "BinaryVariants",
                "Filtering", "Metering",
            ], exclude: ["Golden"]),
        tests("MappingTests", ["Diagnostics", "CKernels", "Kernels", "GenomicFormats", "Mapping"]),
        tests("AlignmentsTests", ["Diagnostics", "Kernels", "Compression", "GenomicFormats", "Mapping", "Alignments", "Simulation"]),
        tests(
            "RunMetricsTests",
            ["GenomicFormats", "Hardware", "Mapping", "Alignments", "RunMetrics", "Simulation", "Engines"]),
        tests("CallingTests", ["Diagnostics", "CKernels", "Kernels", "GenomicFormats", "Mapping", "Calling"]),
        tests("SimulationTests", ["Diagnostics", "Storage", "Compression", "GenomicFormats", "Simulation"]),
        tests("EvaluationTests", ["Diagnostics", "GenomicFormats", "Simulation", "Evaluation"]),
        tests("FilterTrainingTests", ["Diagnostics", "Calling", "Evaluation", "FilterTraining"]),
        tests(
            "EnginesTests",
            ["Diagnostics", "Kernels", "Hardware", "GenomicFormats", "Simulation", "Evaluation", "Engines"]),
        tests("BankTests", ["Diagnostics", "Bank"]),
        tests("CommandLineTests", ["Compression", "GenomicFormats"]),
        tests(
            "RolesTests",
            [
                "Diagnostics", "GenomicFormats", "Simulation", "Metering", "Kernels", "OneTimePad", "Channel", "KeyNetwork", "Bank",
                "Roles",
            ]),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .gnu17
)

// Fuzzers need a compiler option for the whole build, so they are targets only when scripts/test-fuzz asks for them.
if Context.environment["DSGD_FUZZ"] != nil {
    package.targets.append(.target(name: "FuzzSupport", path: "Tests/Fuzz/Support", swiftSettings: strict))
    for (name, dependencies) in [
        ("ShareFiles", ["Diagnostics", "Randomness", "SecretSharing", "TestSupport"]), ("Gzip", ["Compression"]),
        ("BGZF", ["Compression"]),
        ("VCF", ["Diagnostics", "Filtering", "GenomicFormats"]), ("BCF", ["BinaryVariants"]), ("FASTQ", ["GenomicFormats"]), ("FASTA", ["GenomicFormats"]),
        ("Lists", ["GenomicFormats"]), ("Records", ["Channel", "Diagnostics", "Kernels", "OneTimePad", "TestSupport"]),
        ("KeyContainers", ["KeyDelivery", "Kernels"]),
        ("KeyDoors", ["Channel", "Diagnostics", "KeyDelivery", "KeyNetwork", "Kernels"]),
    ] as [(String, [Target.Dependency])] {
        package.targets.append(
            .executableTarget(
                name: "Fuzz" + name, dependencies: dependencies + ["FuzzSupport"], path: "Tests/Fuzz/" + name,
                exclude: ["dictionary"],
                swiftSettings: strict))
    }
}

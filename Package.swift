// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

/// What every Swift target of ours is held to.
let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let strictC: [CSetting] = [.treatAllWarnings(as: .error)]

/// A provider exports its entry function and nothing else. The kit is linked into each of them.
func provider(_ name: String) -> Target {
  .target(
    name: name, dependencies: ["UffdPluginABI", "UffdProviderKit", "ImageContent"],
    path: "Plugins/\(name)",
    swiftSettings: strict,
    linkerSettings: [
      .unsafeFlags([
        "-Xlinker", "--version-script=\(Context.packageDirectory)/Plugins/provider.map",
      ])
    ])
}

let package = Package(
  name: "uffdhost",
  products: [
    .library(name: "UffdHost", targets: ["UffdHost"]),
    .library(name: "UffdPluginABI", targets: ["UffdPluginABI"]),
    .library(name: "UffdProviderKit", targets: ["UffdProviderKit"]),
    .library(name: "UffdClient", targets: ["UffdClient"]),
    .executable(name: "uffdhost", targets: ["uffdhost"]),
    .library(name: "AnonProvider", type: .dynamic, targets: ["AnonProvider"]),
    .library(name: "ShmemProvider", type: .dynamic, targets: ["ShmemProvider"]),
    .library(name: "HugetlbProvider", type: .dynamic, targets: ["HugetlbProvider"]),
  ],
  targets: [
    // The contract between host and provider. Knows nobody.
    .target(name: "UffdPluginABI", cSettings: strictC),
    // What Swift's Glibc cannot say about Linux. Knows nobody.
    .target(name: "CLinux", cSettings: strictC),
    // The core.
    .target(name: "UffdHost", dependencies: ["UffdPluginABI", "CLinux"], swiftSettings: strict),
    // What the command says: numbers, texts, JSON. Takes value types from the core, calls nothing.
    .target(name: "UffdReport", dependencies: ["UffdHost"], swiftSettings: strict),
    // Working sets: their file, their plan, what is shown of them.
    .target(
      name: "UffdWorkingSet", dependencies: ["UffdHost", "UffdReport"], swiftSettings: strict),
    // Serves other processes: the socket, the dialects, the life of a server.
    .target(
      name: "UffdServer", dependencies: ["UffdHost", "UffdReport", "CLinux"],
      swiftSettings: strict),
    // A client of the native protocol in one header. Knows nobody.
    .target(name: "CUffdClient", cSettings: strictC),
    // The same for Swift programs.
    .target(name: "UffdClient", dependencies: ["CUffdClient"], swiftSettings: strict),
    // The kernel behaviours the host relies on, as experiments. For the doctor.
    .target(name: "KernelProbes", dependencies: ["CLinux"], cSettings: strictC),
    // What works on this machine, what does not, and how to mend it. Does not know the core.
    .target(name: "UffdDoctor", dependencies: ["CLinux", "KernelProbes"], swiftSettings: strict),
    // Which hook runs where, and the last words of a process that a hook has broken. Knows nobody.
    .target(name: "CHookTrap", cSettings: strictC),
    // Is a provider what the header says? Drives its table with a mock host, then through the core.
    .target(
      name: "UffdConformance",
      dependencies: ["UffdHost", "UffdReport", "UffdPluginABI", "CLinux", "CHookTrap"],
      swiftSettings: strict),
    // What uffdhost is measured against: a handler in C, the kernel, and the client that touches.
    .target(name: "CBench", dependencies: ["CLinux"], cSettings: strictC),
    // Measures the host beside them.
    .target(
      name: "UffdBench", dependencies: ["UffdHost", "UffdReport", "CBench"], swiftSettings: strict),
    // The least that a Swift program with a provider can be; for the figure of the start.
    .executableTarget(
      name: "uffdhost-empty", path: "Sources/EmptyProgram", swiftSettings: strict),
    // The command.
    .executableTarget(
      name: "uffdhost",
      dependencies: [
        "UffdHost", "UffdReport", "UffdDoctor", "UffdPattern", "UffdConformance", "UffdServer",
        "UffdWorkingSet",
        "UffdBench",
      ],
      swiftSettings: strict),
    // For authors of providers in Swift; linked into the provider, never into the host.
    .target(
      name: "UffdProviderKit", dependencies: ["UffdPluginABI", "CLinux"], swiftSettings: strict),
    // What pattern=SEED means. Knows nobody.
    .target(name: "UffdPattern", swiftSettings: strict),
    // The content that the three providers share: image=, pattern=, size=.
    .target(
      name: "ImageContent",
      dependencies: ["UffdPluginABI", "UffdProviderKit", "UffdPattern", "CLinux"],
      swiftSettings: strict),
    provider("AnonProvider"),
    provider("ShmemProvider"),
    provider("HugetlbProvider"),
    // The kernel's answers on demand, a client at C's speed, and what the tests' provider shows them.
    .target(
      name: "FaultInjection", dependencies: ["CLinux"], path: "Tests/FaultInjection",
      cSettings: strictC),
    // Providers/ is compiled by the tests themselves.
    .testTarget(
      name: "UffdHostTests",
      dependencies: ["UffdHost", "UffdPluginABI", "CLinux", "FaultInjection"],
      exclude: ["Providers"], swiftSettings: strict),
    .testTarget(
      name: "UffdReportTests", dependencies: ["UffdReport", "UffdHost"], swiftSettings: strict),
    .testTarget(
      name: "UffdWorkingSetTests", dependencies: ["UffdWorkingSet", "UffdHost", "UffdReport"],
      swiftSettings: strict),
    // Dialects against recorded hand-offs and a fuzzer; the server with a core of the tests' own,
    // and the command with clients in this process.
    .testTarget(
      name: "UffdServerTests",
      dependencies: [
        "UffdServer", "UffdHost", "CLinux", "CUffdClient", "FaultInjection", "TestSupport",
        "uffdhost",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "CommandTests",
      dependencies: [
        "uffdhost", "UffdReport", "UffdHost", "UffdServer", "UffdBench", "TestSupport",
      ],
      swiftSettings: strict),
    // Runs programs, compiles C, finds what was built.
    .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),
    // The header under every compiler, and the README's provider.
    .testTarget(
      name: "PluginABITests", dependencies: ["UffdPluginABI", "TestSupport"],
      swiftSettings: strict),
    // Providers in C (Tests/Gallery) that are wrong on purpose, and what the host says of them.
    .testTarget(name: "GalleryTests", dependencies: ["TestSupport"], swiftSettings: strict),
    // The gallery is C, compiled by the tests against nothing but the header.
    .testTarget(
      name: "ConformanceTests", dependencies: ["UffdConformance", "UffdHost", "uffdhost"],
      exclude: ["Gallery"], swiftSettings: strict),
    // Probes that are wrong on purpose.
    .target(
      name: "ProbeSpecimens", dependencies: ["KernelProbes"], path: "Tests/ProbeSpecimens",
      cSettings: strictC),
    .testTarget(
      name: "UffdDoctorTests",
      dependencies: ["UffdDoctor", "KernelProbes", "ProbeSpecimens", "CLinux"],
      swiftSettings: strict),
    // The bench's own arithmetic, and that it notices a wrong byte.
    .testTarget(
      name: "UffdBenchTests",
      dependencies: [
        "UffdBench", "CBench", "UffdHost", "UffdWorkingSet", "TestSupport", "uffdhost",
      ],
      swiftSettings: strict),
    // What tests need that compile providers and serve them: a shell, compilers, folders.
    .target(
      name: "ProviderWorkshop", path: "Tests/ProviderWorkshop", swiftSettings: strict),
    .testTarget(
      name: "ExamplesTests", dependencies: ["ProviderWorkshop"], exclude: ["Servers"],
      swiftSettings: strict),
    .testTarget(
      name: "ABIStabilityTests", dependencies: ["ProviderWorkshop"],
      exclude: ["Headers", "Providers"], swiftSettings: strict),
    .testTarget(
      name: "UffdProviderKitTests",
      dependencies: ["UffdProviderKit", "UffdPattern", "UffdPluginABI", "CLinux"],
      swiftSettings: strict),
    // The example on libnbd against a real nbdkit.
    .testTarget(
      name: "NBDTests", dependencies: ["TestSupport", "uffdhost"], swiftSettings: strict),
    // scripts/install and its tree; the manual pages against the program.
    .testTarget(
      name: "InstallTests", dependencies: ["TestSupport", "UffdReport", "UffdHost", "uffdhost"],
      swiftSettings: strict),
    // Clients of the native protocol against a real server: in C, in Swift, in Python.
    .executableTarget(
      name: "RemoteMemoryClient", dependencies: ["UffdClient"], path: "Tests/RemoteMemoryClient",
      swiftSettings: strict),
    .testTarget(
      name: "UffdClientTests", dependencies: ["TestSupport", "uffdhost", "RemoteMemoryClient"],
      exclude: ["Clients"], swiftSettings: strict),
    // Programs in C whose memory is served (Clients/), by 'uffdhost serve' and by a minimal handler.
    .testTarget(
      name: "ServeTests", dependencies: ["TestSupport", "UffdPattern", "uffdhost"],
      exclude: ["Clients"], swiftSettings: strict),
    // The rules of the house: who may import whom, what the documents promise.
    .testTarget(name: "TidyTests", swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)

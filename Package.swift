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
    // The kernel behaviours the host relies on, as experiments. For the doctor.
    .target(name: "KernelProbes", dependencies: ["CLinux"], cSettings: strictC),
    // What works on this machine, what does not, and how to mend it. Does not know the core.
    .target(name: "UffdDoctor", dependencies: ["CLinux", "KernelProbes"], swiftSettings: strict),
    // The command.
    .executableTarget(
      name: "uffdhost",
      dependencies: ["UffdHost", "UffdReport", "UffdDoctor", "UffdPattern"],
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
    .testTarget(
      name: "UffdHostTests", dependencies: ["UffdHost", "UffdPluginABI"], swiftSettings: strict),
    .testTarget(
      name: "UffdReportTests", dependencies: ["UffdReport", "UffdHost"], swiftSettings: strict),
    .testTarget(
      name: "CommandTests", dependencies: ["uffdhost", "UffdReport", "UffdHost"],
      swiftSettings: strict),
    // Probes that are wrong on purpose.
    .target(
      name: "ProbeSpecimens", dependencies: ["KernelProbes"], path: "Tests/ProbeSpecimens",
      cSettings: strictC),
    .testTarget(
      name: "UffdDoctorTests",
      dependencies: ["UffdDoctor", "KernelProbes", "ProbeSpecimens", "CLinux"],
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
  ],
  swiftLanguageModes: [.v6]
)

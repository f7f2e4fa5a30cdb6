// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

let package = Package(
  name: "Stripes",
  products: [.library(name: "StripesProvider", type: .dynamic, targets: ["Stripes"])],
  dependencies: [.package(name: "uffdhost", path: "../..")],
  targets: [
    .target(
      name: "Stripes",
      dependencies: [
        .product(name: "UffdPluginABI", package: "uffdhost"),
        .product(name: "UffdProviderKit", package: "uffdhost"),
      ],
      swiftSettings: [.strictMemorySafety()],
      // The library shows its entry function to the world and nothing of the kit.
      linkerSettings: [
        .unsafeFlags(["-Xlinker", "--version-script=\(Context.packageDirectory)/provider.map"])
      ])
  ],
  swiftLanguageModes: [.v6]
)

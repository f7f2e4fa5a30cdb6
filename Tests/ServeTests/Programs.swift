// SPDX-License-Identifier: Apache-2.0
// The programs in C that the tests run, compiled once for all of them:
// the client, a minimal handler, a slow provider.
import Foundation
import TestSupport

/// What Clients/ makes.
struct Programs: Sendable {
  let client: String
  let handler: String
  let slowProvider: String

  private static let scratch = try! Scratch()
  private static let compiled = Task { try await compile() }

  static var shared: Programs {
    get async throws { try await compiled.value }
  }

  static let sources = Checkout.root + "/Tests/ServeTests/Clients"

  /// Compiles programs of C; the first file is their main one.
  static func compile(_ files: [String], to name: String) async throws -> String {
    guard let compiler = Checkout.find("cc") else {
      throw SpawnFailure(text: "there is no cc on PATH")
    }
    let path = "\(scratch.path)/\(name)"
    let outcome = try await Child.run(
      [compiler, "-std=gnu11", "-O1", "-g"] + Compiler.warnings.filter { $0 != "-pedantic" }
        + ["-pthread", "-I" + sources, "-I\(Checkout.root)/Sources/CUffdClient/include"]
        + ["-o", path] + files + ["-lrt"])
    guard outcome.code == 0 else { throw SpawnFailure(text: outcome.story) }
    return path
  }

  private static func compile() async throws -> Programs {
    let apart = ["reference_handler.c", "slow_provider.c"]
    let parts = try FileManager.default.contentsOfDirectory(atPath: sources)
      .filter { $0.hasSuffix(".c") && !apart.contains($0) }.sorted()
    return Programs(
      client: try await compile(parts.map { "\(sources)/\($0)" }, to: "client"),
      handler: try await compile(["\(sources)/reference_handler.c"], to: "reference_handler"),
      slowProvider: try await Compiler.library(
        "\(sources)/slow_provider.c", to: "\(scratch.path)/slow.so"))
  }

  /// A file of this run, which goes away with it.
  static func scratchFile(_ name: String) -> String { "\(scratch.path)/\(name)" }
}

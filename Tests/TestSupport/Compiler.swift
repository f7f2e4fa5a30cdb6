// SPDX-License-Identifier: Apache-2.0
// Makes providers from C at test time, as their authors would.
import Foundation

public enum Compiler {
  /// What every C provider of the tests is compiled with, after the compiler's name.
  public static let warnings = ["-Wall", "-Wextra", "-pedantic", "-Werror"]

  /// Compiles a C file to a shared library.
  public static func library(
    _ source: String, to path: String, flags: [String] = ["-std=gnu11"], compiler: String = "cc"
  ) async throws -> String {
    guard let tool = Checkout.find(compiler) else {
      throw SpawnFailure(text: "there is no \(compiler) on PATH")
    }
    let outcome = try await Child.run(
      [tool] + flags
        + ["-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-pthread", "-I" + Checkout.header]
        + ["-o", path, source])
    guard outcome.code == 0 else { throw SpawnFailure(text: outcome.story) }
    return path
  }

  /// Compiles a piece of the gallery, `-DNAME=VALUE` for each of `define`.
  public static func gallery(
    _ piece: String, _ define: [String: String] = [:], in scratch: Scratch
  ) async throws -> String {
    try await library(
      "\(Checkout.root)/Tests/Gallery/\(piece)", to: "\(scratch.path)/\(piece)-\(UUID()).so",
      flags: ["-std=gnu11"] + define.map { "-D\($0)=\($1)" })
  }
}

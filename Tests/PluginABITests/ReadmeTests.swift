// SPDX-License-Identifier: Apache-2.0
// The provider that README.md shows works as it is printed there.
import Foundation
import TestSupport
import Testing

@Suite("README")
struct ReadmeTests {
  /// The first block of C.
  private func block() throws -> String {
    let text = try String(contentsOfFile: Checkout.root + "/README.md", encoding: .utf8)
    let parts = text.components(separatedBy: "```c\n")
    try #require(parts.count > 1, "README.md has no ```c block")
    return parts[1].components(separatedBy: "\n```")[0] + "\n"
  }

  @Test("its provider has about 40 lines")
  func length() throws {
    let code = try block()
    #expect(code.hasPrefix("/* striped.c"))
    #expect((20...45).contains(code.split(separator: "\n").count))
  }

  @Test("its provider compiles without a warning and serves")
  func serves() async throws {
    let scratch = try Scratch()
    let library = try await Compiler.library(
      scratch.file("striped.c", block()), to: scratch.path + "/striped.so",
      flags: ["-std=c11", "-pedantic"])
    let run = try await Child.run(
      [Checkout.uffdhost, "--provider", library, "--verify", "provider", "--json"])
    #expect(run.code == 0, "\(run.story)")
    #expect(try JSONValue(parsing: run.output)["verified"] == .boolean(true))
  }
}

// SPDX-License-Identifier: Apache-2.0
// The provider that README.md shows works as it is printed there.
import Foundation
import TestSupport
import Testing

@Suite("README")
struct ReadmeTests {
  /// The first block of C, and the commands that follow it.
  private func printed() throws -> (code: String, commands: String) {
    let text = try String(contentsOfFile: Checkout.root + "/README.md", encoding: .utf8)
    let parts = text.components(separatedBy: "```c\n")
    try #require(parts.count > 1, "README.md has no ```c block")
    let pieces = parts[1].components(separatedBy: "\n```\n")
    try #require(pieces.count > 1, "the ```c block of README.md does not end")
    let indented = pieces[1].split(separator: "\n", omittingEmptySubsequences: false)
      .drop { !$0.hasPrefix("    ") }.prefix { $0.hasPrefix("    ") }
    return (pieces[0] + "\n", indented.joined(separator: "\n") + "\n")
  }

  @Test("its provider has about 40 lines")
  func length() throws {
    let code = try printed().code
    #expect(code.hasPrefix("/* striped.c"))
    #expect((20...45).contains(code.split(separator: "\n").count))
  }

  @Test("its provider compiles without a warning and serves")
  func serves() async throws {
    let scratch = try Scratch()
    let library = try await Compiler.library(
      scratch.file("striped.c", printed().code), to: scratch.path + "/striped.so",
      flags: ["-std=c11", "-pedantic"])
    let run = try await Child.run(
      [Checkout.uffdhost, "--provider", library, "pages=100", "--verify", "provider", "--json"])
    #expect(run.code == 0, "\(run.story)")
    let report = try JSONValue(parsing: run.output)
    #expect(report["verified"] == .boolean(true))
    #expect(report["installed"]["copied"] == .number(100 * 4096))
  }

  @Test("its commands do what they say, as they are printed")
  func commands() async throws {
    let scratch = try Scratch()
    let (code, commands) = try printed()
    try scratch.file("striped.c", code)
    try FileManager.default.createSymbolicLink(
      atPath: scratch.path + "/Sources", withDestinationPath: Checkout.root + "/Sources")
    var options = Child.Options()
    options.environment["PATH"] =
      Checkout.products + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")
    let script = try scratch.file("commands.sh", "set -e\ncd '\(scratch.path)'\n" + commands)
    let outcome = try await Child.run(["/bin/sh", script], options)
    #expect(outcome.code == 0, "\(outcome.story)")
    #expect(outcome.errors.isEmpty, "\(outcome.story)")
    #expect(outcome.output.contains(/\nname +striped\n/), "\(outcome.story)")
    #expect(outcome.output.contains("verified     all 1 MiB equal provider"), "\(outcome.story)")
  }
}

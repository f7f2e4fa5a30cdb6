// SPDX-License-Identifier: Apache-2.0
// The header alone, under every compiler and language standard that a provider's author may use.
import TestSupport
import Testing

/// One way to compile the header.
struct Dialect: Sendable, CustomTestStringConvertible {
  let compiler: String
  let standard: String
  var isCPlusPlus: Bool { compiler.hasSuffix("++") }
  var testDescription: String { "\(compiler) -std=\(standard)" }

  static let all =
    dialects(["gcc"], ["c99", "c11", "c17", "gnu17", "c2x"])
    + dialects(["clang"], ["c99", "c11", "c17", "gnu17", "c23"])
    + dialects(["g++", "clang++"], ["c++11", "c++14", "c++17", "c++20"])

  private static func dialects(_ compilers: [String], _ standards: [String]) -> [Dialect] {
    compilers.flatMap { compiler in
      standards.map { Dialect(compiler: compiler, standard: $0) }
    }
  }
}

@Suite("The header")
struct HeaderTests {
  @Test("compiles alone and without a warning", arguments: Dialect.all)
  func alone(_ dialect: Dialect) async throws {
    guard let compiler = Checkout.find(dialect.compiler) else {
      try Test.cancel("\(dialect.compiler) is not installed")
    }
    let scratch = try Scratch()
    // Alone, and then twice: nothing before it, nothing between.
    let source = try scratch.file(
      dialect.isCPlusPlus ? "alone.cc" : "alone.c",
      "#include \"uffd_plugin.h\"\n#include \"uffd_plugin.h\"\n"
        + "extern const uffd_provider *table; const uffd_provider *table;\n")
    let outcome = try await Child.run(
      [compiler, "-std=\(dialect.standard)"] + Compiler.warnings
        + ["-I" + Checkout.header, "-c", "-o", scratch.path + "/alone.o", source])
    #expect(outcome.code == 0, "\(outcome.story)")
    #expect(outcome.errors.isEmpty, "\(outcome.story)")
  }

  @Test("names nothing of the host", arguments: ["errno", "uffd_msg", "ioctl", "pthread"])
  func narrow(_ word: String) async throws {
    let scratch = try Scratch()
    let source = try scratch.file("narrow.c", "#include \"uffd_plugin.h\"\n")
    let compiler = try #require(Checkout.find("cc"))
    let outcome = try await Child.run([compiler, "-E", "-P", "-I" + Checkout.header, source])
    #expect(outcome.code == 0)
    #expect(outcome.output.contains("uffd_provider_entry_v1"))
    #expect(!outcome.output.contains(word))
  }

  @Test("structs filled by position still serve", arguments: ["c99", "c11", "c2x"])
  func positional(_ standard: String) async throws {
    let scratch = try Scratch()
    let library = try await Compiler.library(
      Checkout.root + "/Tests/Gallery/positional.c", to: scratch.path + "/positional.so",
      flags: ["-std=\(standard)", "-pedantic"])
    let run = try await Child.run(
      [
        Checkout.uffdhost, "--provider", library, "colour=blue", "colour=green", "--verify",
        "provider", "--json",
      ])
    #expect(run.code == 0, "\(run.story)")
    let report = try JSONValue(parsing: run.output)
    #expect(report["provider"] == .text("positional"))
    #expect(report["verified"] == .boolean(true))
    #expect(report["bytes"] == .number(5 * 4096))
    let inspection = try await Child.run([Checkout.uffdhost, "inspect", library, "--json"])
    let words = try JSONValue(parsing: inspection.output)
    #expect(words["version"] == .text("1.2"))
    #expect(words["summary"] == .text("by position"))
    let parameter = words["parameters"].list?.first
    #expect(parameter?["key"] == .text("colour"))
    #expect(parameter?["help"] == .text("does nothing"))
    #expect(parameter?["default"] == .text("red"))
  }
}

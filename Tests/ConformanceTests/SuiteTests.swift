// SPDX-License-Identifier: Apache-2.0
// The suite itself: its sentences are the header's, its exit codes and formats are what they are said to be.
import Glibc
import Testing
import UffdConformance
import UffdHost

private let header =
  URLPath.parent(#filePath) + "/../../Sources/UffdPluginABI/include/uffd_plugin.h"

/// Words with one space between them, without the stars and slashes of comments.
private func normalised(_ text: String) -> String {
  text.split { $0.isWhitespace }.filter { !["*", "/*", "*/"].contains($0) }
    .joined(separator: " ")
}

@Suite struct SuiteTests {
  @Test func `every sentence stands in the header`() {
    let text = normalised(Folder.text(header))
    #expect(text.count > 10_000)
    for check in Check.all {
      let isThere = text.contains(normalised(check.sentence))
      #expect(isThere, "\(check.id): \(check.sentence)")
    }
  }

  @Test func `ids are unique, and a family is in one piece`() {
    let ids = Check.all.map(\.id)
    #expect(Set(ids).count == ids.count)
    var families: [String] = []
    for check in Check.all where families.last != check.family { families.append(check.family) }
    #expect(Set(families).count == families.count)
  }

  @Test func `results have three forms`() throws {
    let specimen = try #require(Specimen.broken.first { $0.name == "no-granules" })
    let report = try specimen.check(only: ["alloc.count", "alloc.sizes"])
    let failed = try #require(report.results.first { $0.id == "alloc.count" })
    #expect(failed.text.hasPrefix("not ok   alloc.count\n"))
    #expect(failed.text.contains("count 0 in the answer"))
    #expect(failed.text.contains("1 to request.count\""))
    let tap = failed.tap(3)
    #expect(tap.hasPrefix("not ok 3 - alloc.count\n  ---\n  expected: \""))
    #expect(tap.hasSuffix("\n  ...\n"))
    #expect(report.json().contains("\"state\": \"not ok\""))
    let skipped = try #require(report.results.first { $0.state == .skipped })
    #expect(skipped.tap(1).contains("ok 1 - \(skipped.id) # SKIP "))
  }

  @Test func `nothing that applies is 77`() throws {
    let options: Suite.Options = {
      var options = Suite.Options(
        Folder.built("libAnonProvider.so"), [Parameter("pattern", "1"), Parameter("size", "64K")])
      options.only = ["writeback"]
      return options
    }()
    let report = try Suite(options, program: Folder.built("uffdhost")).run()
    #expect(report.exitCode == 77)
    #expect(report.count(.skipped) == 3)
  }

  @Test(arguments: [
    ("libAnonProvider.so", ["pattern=1"], HostError.Kind.usage, "size"),
    ("libAnonProvider.so", ["nonsense=1"], .usage, "nonsense"),
    ("libNoProvider.so", [], .usage, "libNoProvider.so"),
    ("uffdhost", [], .refused, "cannot be loaded"),
  ])
  func `what cannot be checked is an error`(
    library: String, words: [String], kind: HostError.Kind, part: String
  ) {
    let parameters = words.map { word in
      let parts = word.split(separator: "=").map(String.init)
      return Parameter(parts[0], parts[1])
    }
    let suite = Suite(
      Suite.Options(Folder.built(library), parameters), program: Folder.built("uffdhost"))
    do {
      _ = try suite.run()
      Issue.record("no error")
    } catch {
      #expect(error.kind == kind)
      #expect(error.message.contains(part), "\(error.message)")
    }
  }

  @Test func `a seed repeats a random run`() throws {
    let specimen = try #require(Specimen.broken.first { $0.name == "every-hundredth" })
    let first = try specimen.check(only: ["model.random"]).results[0].came
    let second = try specimen.check(only: ["model.random"]).results[0].came
    #expect(first == second)
    #expect(first.contains("of seed 5"))
  }
}

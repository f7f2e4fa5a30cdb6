// SPDX-License-Identifier: Apache-2.0
import Testing
import UffdHost

@testable import uffdhost

/// `--words` that the help page names.
private func optionsOnPage() -> Set<String> {
  let words = Usage.program.split { !($0.isLetter || $0 == "-") }
  return Set(words.filter { $0.hasPrefix("--") && $0.count > 2 }.map(String.init))
}

@Test func `the help page names every option and no other`() {
  #expect(optionsOnPage().subtracting(["--name"]) == Set(OptionName.allCases.map(\.spelled)))
  for name in Command.names { #expect(Usage.program.contains("uffdhost \(name)")) }
}

@Test func `the defaults on the help page are those of a run`() throws {
  let run = RunOptions(provider: "x")
  let defaults: [(OptionName, String)] = [
    (.threads, "\(run.threads)"), (.access, run.access.rawValue), (.passes, "\(run.passes)"),
    (.seed, "\(run.seed)"), (.mode, run.mode.rawValue), (.regions, "\(run.regions)"),
    (.fill, run.fill.rawValue), (.readers, "\(run.readers)"), (.onError, run.onError.rawValue),
    (.deadline, "\(run.deadlineNanoseconds / 1_000_000_000)"),
  ]
  for (name, value) in defaults {
    let start = try #require(Usage.program.firstRange(of: "\n  \(name.spelled) "))
    let rest = Usage.program[start.upperBound...]
    let given = try #require(rest.firstRange(of: "default: "))
    #expect(rest[given.upperBound...].hasPrefix(value + ")"), "\(name.spelled)")
  }
}

@Test func `the help page fits a terminal of 90 columns`() {
  for line in Usage.program.split(separator: "\n") { #expect(line.count <= 90, "\(line)") }
}

@Test func `the examples on the help page are good lines`() throws {
  let lines = Usage.program.split(separator: "\n").filter {
    $0.hasPrefix("  uffdhost ") && !$0.contains("LIB") && !$0.contains("   ")
  }
  #expect(lines.count == 10)
  for line in lines {
    let arguments = line.split(separator: " ").dropFirst().map(String.init)
    _ = try Command.parse(arguments)
  }
}

@Test func `a provider's help shows its parameters in columns`() {
  let text = Usage.provider(
    name: "shmem", version: "1.0.0", summary: "shared memory",
    parameters: [
      Usage.ParameterHelp(key: "image", form: "FILE", help: "content of the object"),
      Usage.ParameterHelp(key: "size", form: "SIZE", help: "bytes", defaultValue: "the file's"),
      Usage.ParameterHelp(
        key: "a-very-long-parameter-key", form: "N", help: "long\u{7}", isRequired: true,
        isRepeatable: true),
    ])
  #expect(
    text == """
      shmem 1.0.0: shared memory

      Parameters:
        image=FILE                content of the object
        size=SIZE                 bytes; default the file's
        a-very-long-parameter-key=N
                                  long\\u{7}; required; may be repeated

      """)
  let bare = Usage.provider(name: "x", version: "1", summary: "y", parameters: [])
  #expect(bare == "x 1: y\n\nIt has no parameters.\n")
}

@Test(arguments: [
  ("--thread", "--threads"), ("--jsno", "--json"), ("--p", nil), ("--pro", "--provider"),
  ("--x", nil), ("", nil), ("--READERS", "--readers"),
])
func `a suggestion is near or none`(word: String, suggestion: String?) {
  #expect(
    Suggestion.closest(to: word, among: OptionName.allCases.map(\.spelled)) == suggestion)
}

// SPDX-License-Identifier: Apache-2.0

// docs/writing-a-provider.md, followed to the letter: each step's file is saved under its name, each
// step's commands are typed into a shell. A run counts only if it was verified.

import ProviderWorkshop
import Testing

/// A step of the tutorial: what stands between two headings.
private struct Step: Sendable, CustomTestStringConvertible {
  let title: String
  let blocks: [CodeBlock]
  var testDescription: String { title }

  /// The text before the first heading, and the steps that have something to run.
  static let all: [Step] = {
    let text = (try? File.text("\(Workshop.root)/docs/writing-a-provider.md")) ?? ""
    var parts: [(title: String, lines: [Substring])] = [("", [])]
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("## ") { parts.append((String(line.dropFirst(3)), [])) }
      parts[parts.count - 1].lines.append(line)
    }
    return parts.map { part in
      Step(title: part.title, blocks: CodeBlock.all(in: part.lines.joined(separator: "\n")))
    }
  }()
  static let prelude = all[0]
  static let steps = all.dropFirst().filter { !$0.blocks.isEmpty }

  /// The name that the first line of a file in C gives it: `/* NAME.c: ...`.
  static func name(_ block: CodeBlock) -> String? {
    guard block.text.hasPrefix("/* "), let colon = block.text.firstIndex(of: ":") else {
      return nil
    }
    let name = block.text[..<colon].dropFirst(3)
    return name.hasSuffix(".c") && !name.contains("/") ? String(name) : nil
  }
}

@Suite(
  .enabled(if: Shell.has("cc"), "there is no C compiler"),
  .enabled(if: Shell.has("pkg-config"), "there is no pkg-config, which the commands call"),
  .enabled(if: Workshop.canServe, "userfaultfd cannot be used here; 'uffdhost doctor' says why"))
struct TutorialTests {
  @Test
  func hasEightStepsEachWithOneFileThatIsBuilt() throws {
    #expect(Step.steps.count == 8)
    for step in Step.steps {
      let files = step.blocks.filter { $0.language == "c" }
      let name = try #require(files.first.flatMap(Step.name), "\(step.title)")
      #expect(files.count == 1, "\(step.title)")
      let commands = step.blocks.filter { $0.language == "sh" }.map(\.text).joined()
      #expect(commands.contains("build \(name.dropLast(2))\n"), "\(step.title)")
      #expect(commands.contains("uffdhost --provider ./\(name.dropLast(2)).so"), "\(step.title)")
    }
  }

  @Test(arguments: Step.steps)
  fileprivate func works(_ step: Step) throws {
    let folder = try TemporaryFolder()
    try Self.prepare(folder)
    for block in step.blocks where block.language == "c" {
      let name = try #require(Step.name(block), "the first line of a file names it")
      try folder.write(name, block.text)
    }
    let script = (Step.prelude.blocks + step.blocks).filter { $0.language == "sh" }
    try folder.write("step.sh", "set -ex\n" + script.map { Self.enforced($0.text) }.joined())
    let run = Shell.run(
      "PATH=\(Shell.quoted(folder.path)):$PATH sh step.sh", in: folder.path,
      environment: [(name: "PKG_CONFIG_PATH", value: folder.path)])
    #expect(run.status == 0, "\(run.output)")
  }

  /// `set -e` looks away from a command behind `!`; here it has to fail.
  private static func enforced(_ commands: String) -> String {
    commands.split(separator: "\n").map { line in
      line.hasPrefix("! ")
        ? "if \(line.dropFirst(2)); then echo 'this had to fail'; exit 1; fi\n" : line + "\n"
    }.joined()
  }

  /// What a reader has: the installed header, the server of the last step, and the command. That one is
  /// wrapped: a run that nothing verified ends the step, and so does a crash in place of a refusal.
  private static func prepare(_ folder: TemporaryFolder) throws {
    try folder.write(
      "uffdhost.pc",
      """
      Name: uffdhost
      Description: the header of the plugin ABI
      Version: 1.0
      Cflags: -I\(Workshop.include)

      """)
    let server = "\(Workshop.root)/Tests/ExamplesTests/Servers/rangeserver.c"
    try folder.write("rangeserver.c", try File.text(server))
    let check = Workshop.hasCheck ? "exec \(Workshop.uffdhost) \"$@\" --seconds 1" : "exit 0"
    try folder.write(
      "uffdhost",
      """
      #!/bin/sh
      case $1 in
      check) \(check) ;;
      --provider) ;;
      *) exec \(Workshop.uffdhost) "$@" ;;
      esac
      status=0
      \(Workshop.uffdhost) "$@" --json > report 2>&1 || status=$?
      cat report
      # An expected failure is one that the host reports, and a success is a verified one.
      case $status in
      0) grep -q '"verified": true' report || kill $PPID ;;
      1 | 2) exit $status ;;
      *) kill $PPID ;;
      esac

      """)
    let mode = Shell.run("chmod +x uffdhost", in: folder.path)
    guard mode.status == 0 else { throw Failure(mode.output) }
  }
}

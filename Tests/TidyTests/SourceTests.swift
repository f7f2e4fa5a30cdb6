// SPDX-License-Identifier: Apache-2.0
// Every file is short, says what it is and under which licence, and names no machine it was written on.

import Testing

@Suite("Sources")
struct SourceTests {
  /// The aim is 100, where the formatter breaks code; comments may go a little beyond.
  private static let longestLine = 116
  private static let longestFile = 400
  /// The aim is 70.
  private static let longestFunction = 75
  /// The contract is one header, to be read from top to bottom; so is the client library, to be copied; an
  /// example is one file to compile.
  private static let mayBeLong = [
    "Sources/UffdPluginABI/include/uffd_plugin.h", "Sources/CUffdClient/include/uffd_client.h",
    "Examples/nbd/nbd-provider.c",
    "Tests/ABIStabilityTests/Headers/1.0/uffd_plugin.h",
  ]

  /// What has a licence line: all but texts for people and lists without comments.
  private static var sources: [TextFile] {
    Tree.files.filter { file in
      file.isSwift || file.isC || file.path.hasPrefix("scripts/") || file.path == ".ci/run"
        || file.path.hasSuffix(".modulemap")
    }
  }

  @Test("the licence comes first")
  func licence() {
    #expect(Self.sources.count > 100)
    for file in Self.sources {
      // What must be first for a tool comes before it.
      let isToolLine = { (line: Substring) in
        line.hasPrefix("#!") || line.hasPrefix("// swift-tools-version")
      }
      let first = file.lines.first { !isToolLine($0) } ?? ""
      #expect(first.contains("SPDX-License-Identifier: Apache-2.0"), "\(file.path)")
    }
    #expect(Tree.read("LICENSE").contains("Version 2.0, January 2004"))
  }

  @Test("every source begins by saying what it is")
  func headComments() {
    for file in Tree.product where file.isSwift {
      // A comment of the file, or of the one type that it is named after.
      let body = file.lines.dropFirst().filter { !$0.isEmpty && !$0.contains("import ") }
      #expect(body.first?.hasPrefix("//") == true, "\(file.path) has no head comment")
    }
    for file in Self.sources where file.path.hasPrefix("scripts/") || file.path == ".ci/run" {
      #expect(file.lines.count > 2 && file.lines[2].hasPrefix("# "), "\(file.path)")
    }
  }

  @Test("files, functions and lines are short")
  func lengths() {
    for file in Tree.files where file.isSwift || file.isC || file.isMarkdown {
      // Headers of earlier versions are kept as they were.
      if file.path.hasPrefix("Tests/ABIStabilityTests/Headers/") { continue }
      for (index, line) in file.lines.enumerated() where line.count > Self.longestLine {
        // A sentence in quotes is not broken, nor are a row of a table, a link and a command.
        if file.isSwift, line.contains("\"") { continue }
        // Nor is the one sentence of a specimen that is wrong on purpose.
        if file.path.contains("/Gallery/") { continue }
        let isWhole = line.hasPrefix("|") || line.contains("](") || line.hasPrefix("    ")
        if file.isMarkdown, isWhole || file.path.hasPrefix("Examples/") { continue }
        Issue.record("\(file.path):\(index + 1) has \(line.count) columns")
      }
      if file.isMarkdown || Self.mayBeLong.contains(file.path) { continue }
      #expect(file.lines.count <= Self.longestFile, "\(file.path)")
      for function in functions(of: file) where function.length > Self.longestFunction {
        Issue.record("\(file.path):\(function.line) is a function of \(function.length) lines")
      }
    }
  }

  /// Begin and length of every function. The formatter puts the closing brace under the declaration.
  private func functions(of file: TextFile) -> [(line: Int, length: Int)] {
    var found: [(Int, Int)] = []
    for (index, line) in file.lines.enumerated() {
      let indentation = line.prefix { $0 == " " }
      let isFunction =
        file.isC
        ? line.hasSuffix("{") && indentation.isEmpty && line.contains("(")
        : line.containsWord("func") || line.containsWord("init") && !line.contains(".init")
      guard isFunction else { continue }
      let end = file.lines[index...].firstIndex { other in
        other == indentation + "}" || (other == line && other.hasSuffix("}"))
      }
      if let end { found.append((index + 1, end - index + 1)) }
    }
    return found
  }

  @Test("the measure of functions sees them")
  func functionsAreSeen() throws {
    let file = try #require(Tree.files.first { $0.name == "Reader+Messages.swift" })
    #expect(functions(of: file).count >= 5)
    #expect(functions(of: file).contains { $0.length > 10 })
  }

  @Test("nothing is left to be done, and nothing names the machine it was written on")
  func words() {
    // In two parts, so that this file does not find itself.
    let marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X:"]
    let places = ["/ro" + "ot/", "/ho" + "me/", "/wo" + "rk/", "/tmp/" + "wt", "/opt/" + "swift"]
    for file in Tree.files {
      for (index, line) in file.lines.enumerated() {
        for word in marks + places where line.contains(word) {
          Issue.record("\(file.path):\(index + 1) says \(word)")
        }
      }
    }
  }

  @Test("no line ends in a space, no file without a newline")
  func spaces() {
    for file in Tree.files where file.name != "LICENSE" && file.name != ".keep" {
      for (index, line) in file.lines.enumerated() where line.last == " " || line.contains("\t") {
        Issue.record("\(file.path):\(index + 1) has a tab or ends in a space")
      }
      #expect(Tree.read(file.path).hasSuffix("\n"), "\(file.path)")
    }
  }
}

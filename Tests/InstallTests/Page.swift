// SPDX-License-Identifier: Apache-2.0
// A manual page as its source: what its tests look for in it.
import Foundation
import TestSupport

struct Page {
  static let all = [
    "uffdhost.1", "uffdhost-anon.1", "uffdhost-shmem.1", "uffdhost-hugetlb.1",
    "uffdhost-provider.3",
  ]
  let name: String
  /// Hyphens and backslashes as they are read.
  let text: String
  var path: String { "\(Checkout.root)/man/\(name)" }

  init(_ name: String) throws {
    self.name = name
    text = try String(contentsOfFile: "\(Checkout.root)/man/\(name)", encoding: .utf8)
      .replacing("\\-", with: "-")
  }

  var headings: [String] {
    text.split(separator: "\n").filter { $0.hasPrefix(".SH ") }.map { String($0.dropFirst(4)) }
  }

  /// The lines under a heading.
  func section(_ heading: String) -> String {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard let start = lines.firstIndex(of: ".SH \(heading)") else { return "" }
    let rest = lines[(start + 1)...]
    return rest.prefix { !$0.hasPrefix(".SH ") }.joined(separator: "\n")
  }

  /// The first display after `heading`: an example to copy.
  func example() -> String {
    let lines = section("EXAMPLES").split(separator: "\n", omittingEmptySubsequences: false)
    guard let start = lines.firstIndex(of: ".EX") else { return "" }
    return lines[(start + 1)...].prefix { $0 != ".EE" }.joined(separator: "\n") + "\n"
  }

  /// What stands in the one group of a pattern, wherever it matches.
  static func found(_ pattern: Regex<(Substring, Substring)>, in text: String) -> Set<String> {
    Set(text.matches(of: pattern).map { String($0.output.1) })
  }
}

// SPDX-License-Identifier: Apache-2.0
// docs/protocol.md as its tests read it: tables of numbers, structs, and frames in hexadecimal.
import Foundation

struct NativePage {
  /// One row of a table, cell by cell, without back quotes.
  typealias Row = [String]
  struct Field {
    let offset: Int
    let type: String
    let name: String
    /// In bytes; nil where the page leaves it open.
    var width: Int? { ["u16": 2, "u32": 4, "u64": 8][type] }
  }

  private let lines: [Substring]

  init() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let text = try String(contentsOf: root.appending(path: "docs/protocol.md"), encoding: .utf8)
    lines = text.split(separator: "\n", omittingEmptySubsequences: false)
  }

  /// The rows of the first table whose head begins with `head`.
  func table(_ head: String) -> [Row] { table(after: 0, head) }

  /// The struct under a heading, its last row, which has but the size, left out; and that size.
  func layout(_ heading: String) -> (fields: [Field], size: Int) {
    guard let start = lines.firstIndex(of: "### " + heading) else { return ([], 0) }
    let rows = table(after: start, "offset").map { row in
      Field(offset: Int(row[0]) ?? -1, type: row[1], name: row[2])
    }
    return (rows.dropLast(), rows.last?.offset ?? 0)
  }

  /// The frames at the end of the page, by their names.
  var frames: [(name: String, bytes: [UInt8])] {
    var found: [(String, [UInt8])] = []
    for line in lines.drop(while: { $0 != "## 9. Frames as bytes" }).dropFirst() {
      if line.hasPrefix("### ") {
        found.append((String(line.dropFirst(4)), []))
      } else if line.hasPrefix("    ") {
        found[found.count - 1].1 += line.split(separator: " ").compactMap { UInt8($0, radix: 16) }
      }
    }
    return found
  }

  private func table(after start: Int, _ head: String) -> [Row] {
    let rest = lines[start...]
    guard let first = rest.firstIndex(where: { $0.hasPrefix("| \(head) |") }) else { return [] }
    return lines[(first + 2)...].prefix { $0.hasPrefix("|") }.map { line in
      line.split(separator: "|", omittingEmptySubsequences: false).dropFirst().map { cell in
        cell.filter { $0 != "`" }.trimmingCharacters(in: .whitespaces)
      }
    }
  }
}

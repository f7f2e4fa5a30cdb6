// SPDX-License-Identifier: Apache-2.0
// A run of the bench for people: a table for each case, then the aims, then what to think of the figures.
import UffdReport

extension BenchReport {
  public func text() -> String {
    var text = ""
    for headline in headlines {
      let mine = rows.filter { $0.caseName == headline.name }
      if mine.isEmpty { continue }
      let size = headline.bytes > 0 ? "; \(Units.bytes(headline.bytes))" : ""
      text += "\(headline.name): \(headline.summary)\(size)\n" + Self.table(mine) + "\n"
    }
    if !rows.isEmpty { text += aimsText + "\n" }
    let width = conditions.reduce(0) { max($0, $1.name.count) }
    for condition in conditions {
      text += Units.padRight(condition.name.replacing("_", with: " "), width) + "  "
      text += condition.value.printable + "\n"
    }
    for (label, list) in [("not measured", omissions), ("doubt", warnings), ("WRONG", errors)] {
      for line in list { text += "\(label): \(line.printable)\n" }
    }
    return text
  }

  private static let heads = [
    "threads", "placement", "subject", "p50", "mean", "pages/s", "bytes/s", "against c",
  ]
  /// Words are aligned to the left, numbers to the right.
  private static let isWord = [false, true, true, false, false, false, false, true]

  private static func table(_ rows: [Row]) -> String {
    layOut([heads] + rows.map(cells)) + doubts(rows)
  }

  private static func cells(_ row: Row) -> [String] {
    var ratio = row.ratio.map { ratio in
      row.subject == .c
        ? "1" : "\(decimals(ratio.median)) [\(decimals(ratio.lower)) .. \(decimals(ratio.upper))]"
    }
    if !row.doubts.isEmpty { ratio = (ratio.map { $0 + " " } ?? "") + "?" }
    return [
      "\(row.threads)", row.placement.rawValue, row.subject.rawValue, duration(row.p50),
      duration(row.mean), Units.grouped(UInt64(row.pagesPerSecond)),
      row.bytesPerSecond > 0 ? Units.bytes(UInt64(row.bytesPerSecond)) : "-", ratio ?? "-",
    ]
  }

  /// The subjects that share a doubt in a line: they ran under the same load, and the same noise.
  private static func doubts(_ rows: [Row]) -> String {
    var text = ""
    var rest = rows[...]
    while let first = rest.first {
      let variant = rest.prefix { $0.threads == first.threads && $0.placement == first.placement }
      rest = rest.dropFirst(variant.count)
      var lines: [(kind: Int, text: String, names: [String])] = []
      for row in variant {
        for doubt in row.doubts {
          if let place = lines.firstIndex(where: { $0.kind == doubt.kind }) {
            lines[place].names.append(row.subject.rawValue)
          } else {
            lines.append((doubt.kind, doubt.text, [row.subject.rawValue]))
          }
        }
      }
      for line in lines {
        let names = line.names.joined(separator: ", ")
        text += "  ? \(first.threads) \(first.placement.rawValue), \(names): \(line.text)\n"
      }
    }
    return text
  }

  private static func layOut(_ lines: [[String]]) -> String {
    let widths = lines[0].indices.map { column in lines.reduce(0) { max($0, $1[column].count) } }
    return lines.map { cells in
      var line = ""
      for (column, cell) in cells.enumerated() {
        line += "  "
        line +=
          isWord[column]
          ? Units.padRight(cell, column == cells.count - 1 ? 0 : widths[column])
          : Units.padLeft(cell, widths[column])
      }
      return line + "\n"
    }.joined()
  }

  /// Few nanoseconds with a decimal, else as everywhere.
  static func duration(_ nanoseconds: Double) -> String {
    nanoseconds < 100
      ? Units.decimal(nanoseconds, 1) + " ns"
      : Units.duration(nanoseconds: UInt64(nanoseconds))
  }

  private static func decimals(_ figure: Double) -> String {
    Units.decimal(figure, figure < 10 ? 3 : 1)
  }

  private var aimsText: String {
    let aims = aims
    let width = aims.reduce(0) { max($0, $1.title.count) }
    return "aims\n"
      + aims.map { aim in
        let limit =
          (aim.isUpperLimit ? "at most " : "at least ") + Units.decimal(aim.limit, 2) + aim.suffix
        let verdict =
          switch aim.isReached {
          case nil: "not measured"
          case true?: "yes"
          case false?: "no"
          }
        let measured = aim.measured.map { Units.decimal($0, 3) + aim.suffix } ?? ""
        return "  " + Units.padRight(aim.title, width) + "  " + Units.padRight(limit, 17)
          + Units.padLeft(measured, 11) + "  " + verdict + (aim.isDoubtful ? " ?" : "") + "\n"
      }.joined() + Self.aimOfObjectCode
  }

  /// No run can tell: it is a property of the code, and a process cannot count its own calls of malloc(3) but by
  /// replacing it.
  private static let aimOfObjectCode = """
      No mallocs, retains and exclusivity checks for a fault: not of this run; scripts/check-fault-path
      reads the object code of a release build for them, and AllocationTests count mallocs.

    """
}

extension Doubt {
  fileprivate var kind: Int {
    switch self {
    case .spread: 0
    case .load: 1
    case .unfilled: 2
    }
  }
}

extension Aim {
  fileprivate var suffix: String { unit.isEmpty ? "" : " " + unit }
}

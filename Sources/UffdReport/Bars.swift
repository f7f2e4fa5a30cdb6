// SPDX-License-Identifier: Apache-2.0
// The small horizontal histogram under a report. Pure text; called once at the end of a run.

/// How a text is drawn: what the terminal can do, and how wide it is.
public struct TextStyle: Sendable, Equatable {
  /// Bold, dim and colours through ANSI sequences.
  public var color: Bool
  /// Block characters in bars; else ASCII only.
  public var unicode: Bool
  /// Columns. Lines are laid out to fit where they can; nothing of a report is cut off.
  public var width: Int

  public init(color: Bool = false, unicode: Bool = false, width: Int = 80) {
    self.color = color
    self.unicode = unicode
    self.width = max(40, width)
  }

  enum Ink: String {
    case bold = "1"
    case dim = "2"
    case red = "31"
    case green = "32"
    case yellow = "33"
    case cyan = "36"
  }

  /// `text` in that ink, or `text` where there is no colour.
  func paint(_ text: String, _ ink: Ink) -> String {
    color && !text.isEmpty ? "\u{1b}[\(ink.rawValue)m\(text)\u{1b}[0m" : text
  }

  /// A bar of `part` of `whole` in at most `columns`. What is not nothing is seen.
  func bar(_ part: UInt64, of whole: UInt64, columns: Int) -> String {
    guard part > 0, whole > 0, columns > 0 else { return "" }
    let steps = unicode ? 8 : 1
    let exact = Double(min(part, whole)) / Double(whole) * Double(columns * steps)
    let length = max(1, Int(exact.rounded()))
    guard unicode else { return String(repeating: "#", count: length) }
    let eighths = [
      "", "\u{258f}", "\u{258e}", "\u{258d}", "\u{258c}", "\u{258b}", "\u{258a}", "\u{2589}",
    ]
    return String(repeating: "\u{2588}", count: length / 8) + eighths[length % 8]
  }
}

extension LatencySummary {
  /// One row of the histogram: durations from `from` on, up to the next row.
  struct Row: Equatable {
    var from: UInt64
    var count: UInt64
  }

  /// The powers of two, two or more of them to a row where there would be more than `limit` rows.
  func rows(limit: Int = 12) -> [Row] {
    guard let first = powers.first, let last = powers.last else { return [] }
    let perRow = (last.exponent - first.exponent + limit) / limit
    var rows: [Row] = []
    for (index, power) in powers.enumerated() {
      if index % perRow == 0 {
        rows.append(Row(from: power.exponent == 0 ? 0 : 1 << UInt64(power.exponent), count: 0))
      }
      rows[rows.count - 1].count += power.count
    }
    return rows
  }

  /// The histogram, one line per row, each with a newline and `indent` spaces before it:
  ///
  ///     from   4.1 us  ########################################  12,345  61.2 %
  func bars(_ style: TextStyle, indent: Int) -> String {
    let rows = rows()
    let largest = rows.reduce(0) { max($0, $1.count) }
    let countWidth = Units.grouped(largest).count
    // indent, "from ", 8 columns of duration, bar, count, percentage, and the gaps between them.
    let columns = min(48, style.width - indent - 5 - 8 - 2 - 2 - countWidth - 2 - 7)
    var text = ""
    for row in rows {
      let bar = style.bar(row.count, of: largest, columns: columns)
      text += String(repeating: " ", count: indent) + "from "
      text += Units.padLeft(Units.duration(nanoseconds: row.from), 8) + "  "
      text += style.paint(bar, .cyan) + String(repeating: " ", count: max(0, columns - bar.count))
      text += "  " + Units.padLeft(Units.grouped(row.count), countWidth)
      text += "  " + Units.padLeft(Units.percent(row.count, of: count), 7) + "\n"
    }
    return text
  }
}

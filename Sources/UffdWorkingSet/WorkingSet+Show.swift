// SPDX-License-Identifier: Apache-2.0
// What `uffdhost workingset show` prints: for people, and as JSON. Pure text.
public import UffdReport

extension WorkingSet {
  /// For people, with a newline after every line. `name` is the file's.
  public func text(name: String, _ style: TextStyle = TextStyle()) -> String {
    let figures = WorkingSetFigures(self, parts: Self.mapColumns(style) * Self.mapRows)
    var text = "\(name.printable): a working set of \(provider.printable)\n\n"
    func line(_ label: String, _ items: String...) {
      text += Units.padRight("  " + label, 15) + items.joined(separator: ", ") + "\n"
    }
    line(
      "content", identity.text, "\(Units.bytes(objectSize)) in granules of \(Units.bytes(granule))")
    line("recorded", Self.date(recordedAt), "for " + Self.duration(microseconds))
    line(
      "touched", "\(Units.grouped(figures.granules)) granules", Units.bytes(bytes),
      "\(Units.percent(figures.granules, of: granules)) of the object")
    guard figures.granules > 0 else { return text }
    line(
      "runs", Units.grouped(figures.runs),
      "\(Units.decimal(Double(figures.granules) / Double(figures.runs), 1)) granules each",
      "the longest \(Units.grouped(figures.longestRun))")
    line(
      "order",
      "\(Units.percent(figures.sequential, of: figures.granules - 1)) of the touches follow the one before"
    )
    line(
      "time",
      figures.moments.map { "\(Self.name($0.percent)) \(Self.duration($0.microseconds))" }
        .joined(separator: ", "))
    if let settled = figures.settled { line("settled", "after \(Self.duration(settled))") }
    text += "\n" + Self.lengths(figures, style) + "\n" + map(figures, style)
    return text
  }

  private static func name(_ percent: UInt64) -> String {
    switch percent {
    case 0: "first"
    case 100: "last"
    default: "\(percent) %"
    }
  }

  private static func duration(_ microseconds: UInt64) -> String {
    Units.duration(
      nanoseconds: microseconds.multipliedReportingOverflow(by: 1000).overflow
        ? .max : microseconds * 1000)
  }

  /// How long the runs are: a bar for the granules in them.
  private static func lengths(_ figures: WorkingSetFigures, _ style: TextStyle) -> String {
    var text = "  run length      runs   granules\n"
    let largest = figures.lengths.map(\.granules).max() ?? 0
    for row in figures.lengths {
      let last = row.from * 2 - 1
      let name = row.from == last ? "\(row.from)" : "\(row.from)-\(last)"
      let bar = Int((Double(row.granules) / Double(largest) * 32).rounded())
      text += "  " + Units.padLeft(name, 10) + Units.padLeft(Units.grouped(row.runs), 10)
      text += Units.padLeft(Units.grouped(row.granules), 11) + "  "
      text += String(repeating: style.unicode ? "\u{2588}" : "#", count: max(1, bar)) + "\n"
    }
    return text
  }

  // MARK: The map

  private static let mapRows = 8
  private static func mapColumns(_ style: TextStyle) -> Int { max(16, min(64, style.width - 18)) }

  /// The object from its start to its end, a character for each part: how much of it was touched.
  private func map(_ figures: WorkingSetFigures, _ style: TextStyle) -> String {
    let columns = Self.mapColumns(style)
    let marks = Array(style.unicode ? "\u{b7}\u{2591}\u{2592}\u{2593}\u{2588}" : ".-+*#")
    var text = "  map: one character is \(Units.bytes(figures.granulesPerPart * granule)); "
    text +=
      "\(marks[0]) nothing, \(marks[1])\(marks[2])\(marks[3]) up to a quarter, a half, three, "
    text += "\(marks[4]) more\n"
    for row in stride(from: 0, to: figures.map.count, by: columns) {
      let offset = UInt64(row) * figures.granulesPerPart * granule
      text += Units.padLeft(Units.bytes(offset), 12) + " "
      for part in figures.map[row..<min(row + columns, figures.map.count)] {
        let share = Double(part) / Double(figures.granulesPerPart)
        text.append(part == 0 ? marks[0] : marks[min(4, max(1, Int((share * 4).rounded(.up))))])
      }
      text += "\n"
    }
    return text
  }

  /// `2026-11-25 14:03:09 UTC`, from days since 1970 by the rules of the Gregorian calendar.
  static func date(_ seconds: UInt64) -> String {
    guard seconds > 0, seconds < 253_402_300_800 else { return "at an unknown time" }
    let (days, rest) = (Int(seconds / 86_400), seconds % 86_400)
    // Counted from 1 March of the year 0, so that a leap day is the last of its year.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let ofEra = shifted % 146_097
    let year = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
    let ofYear = ofEra - (365 * year + year / 4 - year / 100)
    let month = (5 * ofYear + 2) / 153
    let day = ofYear - (153 * month + 2) / 5 + 1
    let civilMonth = month < 10 ? month + 3 : month - 9
    let civilYear = year + era * 400 + (civilMonth <= 2 ? 1 : 0)
    func two(_ number: some BinaryInteger) -> String { Units.padLeft(String(number), 2, "0") }
    return "\(civilYear)-\(two(civilMonth))-\(two(day)) "
      + "\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60)) UTC"
  }

  // MARK: JSON

  /// One JSON object, without a newline at the end. Sizes in bytes, times in nanoseconds.
  public func json(name: String) -> String {
    let figures = WorkingSetFigures(self)
    var json = JSONWriter()
    json.object { json in
      json.field("file", name)
      json.field("version", UInt64(Format.version))
      json.field("provider", provider)
      json.field("identity", identity.text)
      json.field("granule", granule)
      json.field("object_size", objectSize)
      json.field("recorded_at", recordedAt)
      json.field("recorded_ns", microseconds &* 1000)
      json.field("granules", figures.granules)
      json.field("bytes", bytes)
      json.field("runs", figures.runs)
      json.field("longest_run", figures.longestRun)
      json.array("run_lengths") { json in
        for row in figures.lengths {
          json.object { json in
            json.field("from", row.from)
            json.field("runs", row.runs)
            json.field("granules", row.granules)
          }
        }
      }
      json.field("sequential", figures.sequential)
      json.array("touched_ns") { json in
        for moment in figures.moments {
          json.object { json in
            json.field("percent", moment.percent)
            json.field("ns", moment.microseconds &* 1000)
          }
        }
      }
      json.field("settled_ns", figures.settled.map { $0 &* 1000 })
      json.object("map") { json in
        json.field("granules_per_part", figures.granulesPerPart)
        json.array("touched") { json in for part in figures.map { json.item(part) } }
      }
    }
    return json.text
  }
}

extension ContentIdentity {
  /// For people, and to be compared by them: a word for its kind, then its numbers.
  var text: String {
    func hexadecimal(_ number: UInt64) -> String {
      Units.padLeft(String(number, radix: 16), 16, "0")
    }
    return switch self {
    case .named(let high, let low): "named \(hexadecimal(high))\(hexadecimal(low))"
    case .described(let configuration, let content):
      "described \(hexadecimal(configuration)) \(hexadecimal(content))"
    }
  }
}

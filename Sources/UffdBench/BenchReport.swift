// SPDX-License-Identifier: Apache-2.0
// What a run of the bench found out, as a value. Made by Bench, printed by the command.
import UffdReport

/// The rows of a run, and under which conditions they came about.
public struct BenchReport: Sendable {
  /// A case that was run, for its headline.
  struct Headline: Sendable {
    var name: String
    var summary: String
    var bytes: UInt64
  }

  var headlines: [Headline] = []
  public internal(set) var rows: [Row] = []
  /// What the figures were measured under: name and value, in order.
  public internal(set) var conditions: [(name: String, value: String)] = []
  /// What makes all figures doubtful.
  public internal(set) var warnings: [String] = []
  /// What could not be measured, and why.
  public internal(set) var omissions: [String] = []
  /// Wrong bytes.
  public internal(set) var errors: [String] = []

  init() {}

  public var aims: [Aim] { AimTable(rows: rows).aims }

  /// 0, 1: a byte was wrong; 4: nothing could be measured.
  public var exitCode: Int32 { !errors.isEmpty ? 1 : rows.isEmpty ? 4 : 0 }

  /// One JSON document.
  public func json() -> String {
    var json = JSONWriter()
    json.object { json in
      json.object("conditions") { json in
        for condition in conditions { json.field(condition.name, condition.value) }
      }
      for (name, list) in [("warnings", warnings), ("omissions", omissions), ("errors", errors)] {
        json.array(name) { json in for text in list { json.item(text) } }
      }
      json.array("rows") { json in for row in rows { json.object { row.write(to: &$0) } } }
      json.array("aims") { json in for aim in aims { json.object { aim.write(to: &$0) } } }
    }
    return json.text
  }
}

extension Row {
  func write(to json: inout JSONWriter) {
    json.field("case", caseName)
    json.field("subject", subject.rawValue)
    json.field("placement", placement.rawValue)
    json.field("threads", threads)
    json.field("p50_ns", p50, decimals: 2)
    json.field("mean_ns", mean, decimals: 2)
    json.field("p99_ns", p99, decimals: 2)
    json.field("pages_per_s", pagesPerSecond, decimals: 0)
    json.field("bytes_per_s", bytesPerSecond, decimals: 0)
    if let ratio {
      json.field("ratio", ratio.median, decimals: 4)
      json.field("ratio_lower", ratio.lower, decimals: 4)
      json.field("ratio_upper", ratio.upper, decimals: 4)
    } else {
      json.null("ratio")
    }
    json.field("ratio_of", ratioOf.rawValue)
    json.field("bytes", bytes, decimals: 0)
    json.field("installed_bytes", installed, decimals: 0)
    json.field("rounds", rounds)
    json.array("doubts") { json in for doubt in doubts { json.item(doubt.text) } }
  }
}

extension Aim {
  func write(to json: inout JSONWriter) {
    json.field("title", title)
    json.field(isUpperLimit ? "at_most" : "at_least", limit, decimals: 2)
    if let measured { json.field("measured", measured, decimals: 4) } else { json.null("measured") }
    json.field("reached", isReached)
    json.field("doubtful", isDoubtful)
  }
}

// SPDX-License-Identifier: Apache-2.0
// Two runs beside each other. Ratios are compared, not times: they mean
// the same on another day, and nearly the same on another machine. Pure.
import UffdReport

/// What became of the rows of an earlier run.
public struct Comparison: Sendable {
  public struct Change: Sendable, Equatable {
    public enum Verdict: String, Sendable {
      case same, better
      /// Slower by more than the threshold, and the quartiles do not overlap.
      case regression
      /// One of the two has doubts.
      case doubtful
    }
    public var caseName: String
    public var subject: Subject
    public var placement: Placement
    public var threads: Int
    public var before: Spread
    public var after: Spread
    public var verdict: Verdict

    /// 0.05 is 5 % slower.
    public var slowdown: Double { before.median == 0 ? 0 : after.median / before.median - 1 }
  }

  public private(set) var changes: [Change] = []
  /// Rows of the earlier run that this one has not, though it has others of the same case: the subject failed.
  public private(set) var vanished: [String] = []
  public let thresholdPercent: Double

  /// Every row of ours that both runs have.
  public init(_ report: BenchReport, against saved: SavedRun, thresholdPercent: Double) {
    self.init(rows: report.rows, against: saved, thresholdPercent: thresholdPercent)
  }

  init(rows: [Row], against saved: SavedRun, thresholdPercent: Double) {
    self.thresholdPercent = thresholdPercent
    for row in rows {
      guard Self.isOurs(row.subject.rawValue), let ratio = row.ratio,
        let entry = saved.entries[
          SavedRun.Key(
            caseName: row.caseName, subject: row.subject.rawValue,
            placement: row.placement.rawValue, threads: row.threads)]
      else { continue }
      changes.append(
        Change(
          caseName: row.caseName, subject: row.subject, placement: row.placement,
          threads: row.threads, before: entry.ratio, after: ratio,
          verdict: Self.verdict(
            entry.ratio, ratio, thresholdPercent / 100,
            isDoubtful: entry.isDoubtful || !row.doubts.isEmpty)))
    }
    let kept = Set(
      changes.map { Self.name($0.caseName, $0.threads, $0.placement.rawValue, $0.subject.rawValue) }
    )
    let tried = Set(rows.map { Self.name($0.caseName, $0.threads, $0.placement.rawValue, "") })
    for key in saved.entries.keys where Self.isOurs(key.subject) {
      let name = Self.name(key.caseName, key.threads, key.placement, key.subject)
      if !kept.contains(name),
        tried.contains(Self.name(key.caseName, key.threads, key.placement, ""))
      {
        vanished.append(name)
      }
    }
    vanished.sort()
  }

  private static func isOurs(_ subject: String) -> Bool {
    Subject(rawValue: subject).map { [.host, .hostExternal, .hostIsolated].contains($0) } ?? false
  }

  private static func name(
    _ caseName: String, _ threads: Int, _ placement: String, _ subject: String
  ) -> String { "\(caseName), \(threads), \(placement), \(subject)" }

  static func verdict(
    _ before: Spread, _ after: Spread, _ threshold: Double, isDoubtful: Bool
  ) -> Change.Verdict {
    if isDoubtful { return .doubtful }
    if after.median > before.median * (1 + threshold), after.lower > before.upper {
      return .regression
    }
    if after.median * (1 + threshold) < before.median, after.upper < before.lower { return .better }
    return .same
  }

  public var regressions: [Change] { changes.filter { $0.verdict == .regression } }

  /// 1: something became slower, or could not be measured any more; 4: the runs have nothing in common.
  public var exitCode: Int32 {
    if !regressions.isEmpty || !vanished.isEmpty { return 1 }
    return changes.isEmpty ? 4 : 0
  }

  public var text: String {
    if changes.isEmpty, vanished.isEmpty {
      return "compared: the two runs have no case in common\n"
    }
    let threshold = Units.decimal(thresholdPercent, 1)
    return
      "compared with the saved run, ratios against c; a regression is more than \(threshold) %\n"
      + changes.map { change in
        let name = "\(change.caseName), \(change.threads), \(change.placement.rawValue)"
        let figures = [change.before, change.after].map { Units.decimal($0.median, 3) }
        let percent = Units.decimal(change.slowdown * 100, 1)
        return "  " + Units.padRight(name, 40) + Units.padRight(change.subject.rawValue, 14)
          + "\(figures[0]) -> \(figures[1])" + Units.padLeft(percent, 8) + " %  "
          + change.verdict.rawValue + "\n"
      }.joined() + vanished.map { "  \($0): not measured any more\n" }.joined()
  }
}

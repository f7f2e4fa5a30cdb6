// SPDX-License-Identifier: Apache-2.0
// Saving a run, reading it, and what counts as a regression.
import Testing
import UffdHost

@testable import UffdBench

private func row(
  _ ratio: Spread?, subject: Subject = .host, name: String = "anon-copy", doubts: [Doubt] = []
) -> Row {
  Row(
    caseName: name, subject: subject, placement: .pinned, threads: 1, p50: 9000, mean: 9100,
    p99: 20_000, pagesPerSecond: 100_000, bytesPerSecond: 4e8, ratio: ratio, ratioOf: .p50,
    bytes: 4096, installed: 4096, rounds: 7, doubts: doubts)
}

private func saved(_ rows: [Row]) throws -> SavedRun {
  var report = BenchReport()
  report.rows = rows
  return try SavedRun(report.json(), name: "x")
}

private let before = Spread(median: 1.0, lower: 0.99, upper: 1.01)

@Test(
  arguments: [
    (Spread(median: 1.04, lower: 1.03, upper: 1.05), "same"),
    (Spread(median: 1.06, lower: 1.05, upper: 1.07), "regression"),
    // The median is too high, but the quartiles overlap: noise.
    (Spread(median: 1.06, lower: 1.00, upper: 1.20), "same"),
    (Spread(median: 0.9, lower: 0.89, upper: 0.91), "better"),
    (Spread(median: 1.0, lower: 0.99, upper: 1.01), "same"),
  ])
func `a regression is beyond the threshold and beyond the noise`(
  after: Spread, verdict: String
) throws {
  let comparison = Comparison(
    rows: [row(after)], against: try saved([row(before)]), thresholdPercent: 5)
  #expect(comparison.changes.map(\.verdict.rawValue) == [verdict])
  #expect(comparison.exitCode == (verdict == "regression" ? 1 : 0))
  #expect(comparison.text.contains(verdict))
}

@Test func `the threshold decides`() throws {
  let after = row(Spread(median: 1.06, lower: 1.05, upper: 1.07))
  let saved = try saved([row(before)])
  #expect(Comparison(rows: [after], against: saved, thresholdPercent: 10).exitCode == 0)
  #expect(Comparison(rows: [after], against: saved, thresholdPercent: 0).exitCode == 1)
}

@Test func `doubtful rows prove nothing`() throws {
  let slow = Spread(median: 2, lower: 1.9, upper: 2.1)
  let now = Comparison(
    rows: [row(slow, doubts: [.load(1)])], against: try saved([row(before)]), thresholdPercent: 5)
  let then = Comparison(
    rows: [row(slow)], against: try saved([row(before, doubts: [.spread(1)])]), thresholdPercent: 5)
  for comparison in [now, then] {
    #expect(comparison.changes.map(\.verdict) == [.doubtful])
    #expect(comparison.exitCode == 0)
  }
}

@Test func `only rows of ours that both runs have are compared`() throws {
  let comparison = Comparison(
    rows: [row(before), row(before, subject: .peer), row(before, name: "anon-zero"), row(nil)],
    against: try saved([row(before), row(before, subject: .peer)]), thresholdPercent: 5)
  #expect(comparison.changes.count == 1)
  let nothing = Comparison(rows: [row(before)], against: try saved([]), thresholdPercent: 5)
  #expect(nothing.exitCode == 4 && nothing.text.contains("no case in common"))
}

@Test func `a subject that cannot be measured any more is no success`() throws {
  let rest = row(before, subject: .c)
  let comparison = Comparison(
    rows: [rest], against: try saved([rest, row(before)]), thresholdPercent: 5)
  #expect(comparison.vanished == ["anon-copy, 1, pinned, host"])
  #expect(comparison.exitCode == 1 && comparison.text.contains("not measured any more"))
  // A case that was not asked for has not vanished.
  let other = Comparison(
    rows: [row(before)], against: try saved([row(before), row(before, name: "anon-zero")]),
    thresholdPercent: 5)
  #expect(other.vanished.isEmpty && other.exitCode == 0)
}

@Test func `what is written is read again`() throws {
  let saved = try saved([row(Spread(median: 1.0371, lower: 1.0333, upper: 1.0402))])
  let entry = try #require(saved.entries.values.first)
  #expect(entry.ratio == Spread(median: 1.0371, lower: 1.0333, upper: 1.0402))
  #expect(entry.isDoubtful == false)
}

@Test(arguments: ["", "{", "[]", "{\"rows\": 1}", "{\"rows\": []} x", "{\"rows\": [}", "\u{0}"])
func `a file that is no saved run is refused`(text: String) {
  do throws(HostError) {
    _ = try SavedRun(text, name: "old.json")
    Issue.record("accepted")
  } catch {
    #expect(error.kind == .usage && error.message.contains("'old.json'"))
  }
}

@Test(
  arguments: [
    ("null", PlainValue.null), ("true", .boolean(true)), (" 1.50 ", .number(1.5)),
    ("-2e3", .number(-2000)), ("[]", .list([])),
    ("[1,[2]]", .list([.number(1), .list([.number(2)])])),
    ("{\"a\": {\"b\": false}}", .object(["a": .object(["b": .boolean(false)])])),
    ("\"a\\n\\u0041\\\"\"", .text("a\nA\"")),
  ])
func `JSON is read`(text: String, value: PlainValue) {
  var reader = PlainJSON(Array(text.utf8))
  #expect(reader.document() == value)
}

@Test(
  arguments: [
    "", "nul", "[1", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "\"a", "\"\\x\"", "1 2", "--1",
    "\"\\u12\"",
    String(repeating: "[", count: 100),
  ])
func `what is no JSON is not read`(text: String) {
  var reader = PlainJSON(Array(text.utf8))
  #expect(reader.document() == nil)
}

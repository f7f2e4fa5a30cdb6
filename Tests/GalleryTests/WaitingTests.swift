// SPDX-License-Identifier: Apache-2.0
// Providers that are slow, busy, hanging, or picky about threads.
import Foundation
import TestSupport
import Testing

@Suite("Gallery: waiting and threads")
struct WaitingTests {
  @Test(
    "a hook that hangs costs its page, at the deadline; the host lives on",
    arguments: [
      ["BLOCKS": "1"], ["MODEL": "UFFD_THREADS_SERIAL"], ["MODEL": "UFFD_THREADS_PER_INSTANCE"],
    ])
  func hang(_ define: [String: String]) async throws {
    // At most one deadline per page, and ten seconds of patience with the hook at the end: the time that
    // every exhibit has is enough.
    let outcome = try await exhibit(
      "hang.c", define.merging(["SECONDS": "1000"]) { $1 }, ["--deadline", "1", "--json"],
      isIdle: true)
    expectEnd(outcome, code: 1)
    let line = outcome.errorLines.first
    #expect(line?.contains("granule 1 of provider 'gallery'") == true, "\(outcome.story)")
    #expect(line?.contains("did not answer within the deadline") == true, "\(outcome.story)")
    #expect(
      outcome.errorLines.last?.contains("a hook of provider 'gallery' has not returned") == true,
      "\(outcome.story)")
    let report = try JSONValue(parsing: outcome.output)
    // With one thread for all hooks the pages behind the hanging one cannot be had either.
    let lost: UInt64 = define["BLOCKS"] == nil ? 3 : 1
    #expect(report["installed"]["poisoned"] == .number(lost * 4096), "\(outcome.story)")
    #expect(report["installed"]["copied"] == .number((4 - lost) * 4096))
  }

  @Test("a hook that comes back after the deadline does no harm")
  func late() async throws {
    let outcome = try await exhibit(
      "hang.c", ["SECONDS": "2", "BLOCKS": "1"], ["--deadline", "0.5", "--json"], isIdle: true)
    expectEnd(outcome, code: 1)
    #expect(outcome.errorLines.count == 1, "\(outcome.story)")
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["installed"]["poisoned"] == .number(4096))
    #expect(report["installed"]["copied"] == .number(3 * 4096))
  }

  @Test("cancel reaches a hook that hangs", arguments: ["PARALLEL", "PER_INSTANCE", "SERIAL"])
  func cancel(_ model: String) async throws {
    let outcome = try await exhibit(
      "hang.c",
      ["SECONDS": "1000", "CANCEL": "1", "BLOCKS": "1", "MODEL": "UFFD_THREADS_\(model)"],
      ["--deadline", "0.5", "--json"], isIdle: true)
    expectEnd(outcome, code: 1)
    #expect(outcome.errors.contains("gallery: cancelled"), "\(outcome.story)")
    #expect(!outcome.errors.contains("has not returned"), "\(outcome.story)")
    #expect(try JSONValue(parsing: outcome.output)["installed"]["poisoned"] == .number(4096))
  }

  @Test(
    "BUSY is asked again under the same ticket, however it is kicked",
    arguments: ["EARLY", "LATE", "STALE", "TWICE", "NEVER"], placements)
  func busy(_ kick: String, _ placement: [String: String]) async throws {
    let outcome = try await exhibit(
      "busy.c", placement.merging(["TIMES": "3", kick: "1"]) { $1 }, ["--json"], isIdle: true)
    expectEnd(outcome, code: 0)
    #expect(closingWords(outcome) == "tickets stayed, most=4", "\(outcome.story)")
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["installed"]["copied"] == .number(4 * 4096))
    #expect(report["put_off"].number >= 12)
  }

  @Test("a kick counts also when it comes before BUSY", arguments: ["EARLY", "TWICE"], placements)
  func early(_ kick: String, _ placement: [String: String]) async throws {
    let outcome = try await exhibit(
      "busy.c", placement.merging(["TIMES": "24", kick: "1"]) { $1 }, ["--json"])
    expectEnd(outcome, code: 0)
    // By the host's timer alone each of the four granules would take 1.8 s.
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["elapsed_ns"].number < 4_000_000_000, "\(outcome.story)")
  }

  @Test("BUSY for ever ends at the deadline", arguments: ["EARLY", "NEVER"], placements)
  func busyForEver(_ kick: String, _ placement: [String: String]) async throws {
    let outcome = try await exhibit(
      "busy.c", placement.merging(["TIMES": "2000000000", kick: "1"]) { $1 },
      ["--deadline", "0.3", "--json"], isIdle: kick == "NEVER")
    expectEnd(outcome, code: 1)
    #expect(outcome.errorLines.first?.contains("within the deadline") == true, "\(outcome.story)")
    #expect(closingWords(outcome).hasPrefix("tickets stayed"), "\(outcome.story)")
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["installed"]["poisoned"] == .number(4 * 4096))
  }

  @Test("content that arrives in staging memory of the host's", arguments: placements)
  func staging(_ placement: [String: String]) async throws {
    let outcome = try await exhibit(
      "staging.c", placement, ["--verify", "provider", "--json"])
    expectEnd(outcome, code: 0)
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["verified"] == .boolean(true))
    #expect(report["installed"]["copied"] == .number(4 * 4096))
    // Two instances, four granules, four requests that must be refused.
    #expect(closingWords(outcome) == "refused=32", "\(outcome.story)")
  }

  /// Thread model, may hooks wait, and what the provider must have seen.
  static let models: [(model: String, blocks: String, instance: ClosedRange<Int>, threads: Int?)] =
    [
      ("SERIAL", "1", 1...1, 1), ("SERIAL", "0", 1...1, 1),
      ("PER_INSTANCE", "1", 1...1, nil), ("PER_INSTANCE", "0", 1...1, nil),
      ("PARALLEL", "1", 2...64, nil),
    ]

  @Test("the thread model is kept, seen from inside the hooks", arguments: models)
  func threads(_ model: String, _ blocks: String, _ instance: ClosedRange<Int>, _ threads: Int?)
    async throws
  {
    let outcome = try await exhibit(
      "threads.c", ["MODEL": "UFFD_THREADS_\(model)", "BLOCKS": blocks],
      [
        "--verify", "provider", "--threads", "8", "--regions", "2", "--readers", "2", "--json",
      ])
    expectEnd(outcome, code: 0)
    #expect(try JSONValue(parsing: outcome.output)["verified"] == .boolean(true))
    let closings = outcome.errorLines.filter { $0.contains("gallery: threads=") }
    #expect(closings.count == 2, "\(outcome.story)")
    for line in closings {
      let numbers = line.split(separator: " ").compactMap { word -> Int? in
        word.split(separator: "=").dropFirst().first.flatMap { Int($0) }
      }
      try #require(numbers.count == 3, "\(outcome.story)")
      if let threads { #expect(numbers[0] == threads, "\(outcome.story)") }
      #expect(model != "SERIAL" || numbers[2] == 1, "\(outcome.story)")
    }
    // Of the instance that served; the other one was asked by as many threads as touch.
    let most = closings[0].firstMatch(of: /instance=(\d+)/).flatMap { Int($0.1) } ?? 0
    #expect(instance.contains(most), "\(outcome.story)")
  }
}

// SPDX-License-Identifier: Apache-2.0
// Filemaps that refuse, forget or lie, and the books of lending and accounting.
import Foundation
import TestSupport
import Testing

@Suite("Gallery: filemaps")
struct FilemapTests {
  private func run(
    _ define: [String: String], _ placement: [String: String], mode: String
  ) async throws -> (Outcome, JSONValue) {
    let outcome = try await exhibit(
      "filemap.c", define.merging(placement) { $1 },
      ["--deadline", "2", "--json", "--mode", mode])
    expectEnd(outcome, code: 1)
    return (outcome, try JSONValue(parsing: outcome.output))
  }

  static let refusals = [
    Lie(["ADD": "return UFFD_STATUS_NO_MEMORY"], "filemap_add refused to account it"),
    Lie(["ADD": "return UFFD_STATUS_OUT_OF_RANGE"], "answered OUT_OF_RANGE"),
    Lie(["ADD": "return UFFD_STATUS_GONE"], "answered GONE"),
  ]

  @Test("filemap_add refuses one granule", arguments: refusals, placements)
  func refusal(_ lie: Lie, _ placement: [String: String]) async throws {
    let (outcome, report) = try await run(lie.define, placement, mode: "missing")
    let line = outcome.errorLines.first { $0.contains("granule 1 of provider 'gallery'") }
    #expect(line?.contains(lie.says) == true, "\(outcome.story)")
    #expect(report["installed"]["poisoned"] == .number(4096))
    #expect(closingWords(outcome) == "held=3", "\(outcome.story)")
    #expect(line?.contains("alloc_folio") != true, "\(outcome.story)")
  }

  static let wrongAdds = [
    Lie(["ADD": "return UFFD_STATUS_ABSENT"], "filemap_add answered ABSENT, BUSY or IO_ERROR"),
    Lie(["ADD": "return UFFD_STATUS_BUSY"], "filemap_add answered ABSENT, BUSY or IO_ERROR"),
    Lie(["ADD": "return UFFD_STATUS_IO_ERROR"], "filemap_add answered ABSENT, BUSY or IO_ERROR"),
    Lie(["ADD": "return 77"], "filemap_add returned a status that ABI 1 does not have"),
  ]

  @Test("filemap_add answers what it may not", arguments: wrongAdds, placements)
  func wrongAdd(_ lie: Lie, _ placement: [String: String]) async throws {
    let (outcome, report) = try await run(lie.define, placement, mode: "missing")
    #expect(outcome.errors.contains("broke the contract: \(lie.says)"), "\(outcome.story)")
    #expect(report["provider_violations"].number == 1)
    #expect(report["installed"]["poisoned"] == .number(3 * 4096))
    #expect(closingWords(outcome) == "held=1", "\(outcome.story)")
  }

  static let wrongLookups = [
    Lie(["LOOKUP": "return UFFD_STATUS_ABSENT"], "ABSENT for a granule that filemap_add accepted"),
    Lie(["LOOKUP": "return 77"], "get_folio_noalloc returned a status that it may not return"),
  ]

  @Test("get_folio_noalloc breaks the contract", arguments: wrongLookups, placements)
  func wrongLookup(_ lie: Lie, _ placement: [String: String]) async throws {
    let (outcome, report) = try await run(lie.define, placement, mode: "minor")
    let named = outcome.errorLines.filter { $0.contains("broke the contract: ") }
    #expect(named.first?.contains(lie.says) == true, "\(outcome.story)")
    #expect(report["installed"]["continued"] == .number(4096))
    #expect(report["installed"]["poisoned"] == .number(3 * 4096))
    // What was published before the lie stays accounted: nobody punched it.
    #expect(closingWords(outcome) == "held=4", "\(outcome.story)")
  }

  static let failedLookups = [
    Lie(["LOOKUP": "return UFFD_STATUS_OUT_OF_RANGE"], "answered OUT_OF_RANGE"),
    Lie(["LOOKUP": "return UFFD_STATUS_GONE"], "answered GONE"),
  ]

  @Test("get_folio_noalloc fails for one granule", arguments: failedLookups, placements)
  func failedLookup(_ lie: Lie, _ placement: [String: String]) async throws {
    let (outcome, report) = try await run(lie.define, placement, mode: "minor")
    let line = outcome.errorLines.first { $0.contains("granule 1 of provider 'gallery'") }
    #expect(line?.contains(lie.says) == true, "\(outcome.story)")
    #expect(report["installed"]["continued"] == .number(3 * 4096))
    #expect(report["installed"]["poisoned"] == .number(4096))
  }

  @Test(
    "get_folio_noalloc is BUSY for ever: the page is not mapped without its consent",
    arguments: placements)
  func busyLookup(_ placement: [String: String]) async throws {
    let outcome = try await exhibit(
      "filemap.c", placement.merging(["LOOKUP": "return UFFD_STATUS_BUSY"]) { $1 },
      ["--deadline", "0.5", "--json", "--mode", "minor"], isIdle: true)
    let report = try JSONValue(parsing: outcome.output)
    #expect(outcome.code == 1, "\(outcome.story)")
    #expect(outcome.errors.contains("did not answer within the deadline"), "\(outcome.story)")
    #expect(report["installed"]["continued"] == .number(3 * 4096))
    #expect(report["installed"]["poisoned"] == .number(4096))
  }

  @Test(
    "lent is put back, added and not published is removed: each exactly once",
    arguments: placements, ["0", "1"])
  func balance(_ placement: [String: String], _ residence: String) async throws {
    let outcome = try await exhibit(
      "balance.c", placement.merging(["RESIDENCE": residence]) { $1 },
      ["--threads", "4", "--access", "random", "--json", "--deadline", "20"])
    expectEnd(outcome, code: 1)
    let report = try JSONValue(parsing: outcome.output)
    // Every page that is not in the client was given up, and none of those is accounted.
    let poisoned = report["installed"]["poisoned"].number / 4096
    let held = 64 - poisoned
    #expect(report["installed"]["copied"] == .number(held * 4096), "\(outcome.story)")
    #expect((8...16).contains(poisoned), "\(outcome.story)")
    #expect(
      closingWords(outcome) == "open=0 doubles=0 torn=0 balance=\(held) held=\(held) wrong=0",
      "\(outcome.story)")
  }
}

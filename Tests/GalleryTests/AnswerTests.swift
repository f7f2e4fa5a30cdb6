// SPDX-License-Identifier: Apache-2.0
// Wrong answers on the fault path. The pages in question are poisoned
// and the process ends with 1 and a report; a broken contract closes all pages of the provider, a failure
// only its own.
import TestSupport
import Testing

@Suite("Gallery: answers")
struct AnswerTests {
  /// Lies about granule 1 of 4 that break the contract: nothing is believed any more.
  static let violations = [
    Lie("return 77", "alloc_folio returned a status that ABI 1 does not have"),
    Lie("return UFFD_STATUS_OK", "alloc_folio answered OK and covered 0 granules"),
    Lie("return answer(folio, UFFD_FOLIO_ZERO, 0, NULL)", "answered OK and covered 0 granules"),
    Lie("return answer(folio, UFFD_FOLIO_ZERO, 1000, NULL)", "covered more granules than it was"),
    Lie("return answer(folio, UFFD_FOLIO_ZERO, ~0ull, NULL)", "covered more granules than it was"),
    Lie("return answer(folio, 0, 1, NULL)", "answered OK with an unknown kind of folio"),
    Lie("return answer(folio, 9, 1, NULL)", "answered OK with an unknown kind of folio"),
    Lie("return lend(folio, own, 4096, 1)", "lent memory without the capability 'lend'"),
    Lie("return answer(folio, UFFD_FOLIO_ZERO, 1, own)", "answered ZERO together with a pointer"),
    Lie("return answer(folio, UFFD_FOLIO_STAGED, 1, own)", "STAGED with memory that is not the"),
    Lie(
      "return answer(folio, UFFD_FOLIO_STAGED, 1, (char *)request->staging + 8)",
      "STAGED with memory that is not the"),
    Lie(["LIE": "return lend(folio, NULL, 4096, 1)", "LENDS": "1"], "lent a NULL pointer"),
    Lie(["LIE": "return lend(folio, own, 4095, 1)", "LENDS": "1"], "lent fewer bytes than its"),
    Lie(["LIE": "return lend(folio, own, 0, 1)", "LENDS": "1"], "lent fewer bytes than its"),
  ]

  @Test("an answer that breaks the contract", arguments: violations, placements)
  func violation(_ lie: Lie, _ placement: [String: String]) async throws {
    let outcome = try await exhibit(
      "alloc.c", lie.define.merging(placement) { $1 }, ["--deadline", "5", "--json"])
    expectEnd(outcome, code: 1)
    let named = outcome.errorLines.filter { $0.contains("broke the contract: ") }
    #expect(named.count == 1, "\(outcome.story)")
    #expect(named.first?.contains(lie.says) == true, "\(outcome.story)")
    #expect(named.first?.contains("provider 'gallery'") == true, "\(outcome.story)")
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["provider_violations"].number == 1)
    #expect(report["verified"] == .boolean(false))
    // Granule 0 was right, and was served before; 1 is the lie, 2 and 3 come after it.
    #expect(report["installed"]["copied"] == .number(4096))
    #expect(report["installed"]["poisoned"] == .number(3 * 4096))
    let isLent = lie.define["LENDS"] != nil
    #expect(outcome.errors.contains("gallery: put back") == isLent, "\(outcome.story)")
  }

  /// Failures of granule 1 that say something about that granule alone.
  static let failures = [
    Lie("return UFFD_STATUS_ABSENT", "alloc_folio answered ABSENT"),
    Lie("return UFFD_STATUS_OUT_OF_RANGE", "alloc_folio answered OUT_OF_RANGE"),
    Lie("return UFFD_STATUS_GONE", "alloc_folio answered GONE"),
    Lie("return UFFD_STATUS_NO_MEMORY", "there is no memory for it"),
    Lie("return UFFD_STATUS_IO_ERROR", "the provider could not read its source"),
    Lie("return UFFD_STATUS_BUSY", "did not answer within the deadline of the fault"),
    Lie(
      ["LIE": "return lend(folio, (const void *)64, 4096, 1)", "LENDS": "1"],
      "the memory that was lent for it cannot be read"),
    Lie(
      ["LIE": "return lend(folio, gone(), 4096, 1)", "LENDS": "1"],
      "the memory that was lent for it cannot be read"),
  ]

  @Test("a failure poisons its own page", arguments: failures, placements)
  func failure(_ lie: Lie, _ placement: [String: String]) async throws {
    let outcome = try await exhibit(
      "alloc.c", lie.define.merging(placement) { $1 }, ["--deadline", "2", "--json"])
    expectEnd(outcome, code: 1)
    let line = outcome.errorLines.first { $0.contains("cannot be provided: ") }
    let start = "uffdhost: error: granule 1 of provider 'gallery' cannot be provided: "
    #expect(line?.hasPrefix(start) == true, "\(outcome.story)")
    #expect(line?.contains(lie.says) == true, "\(outcome.story)")
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["provider_violations"].number == 0)
    #expect(report["given_up"].number == 1)
    #expect(report["installed"]["copied"] == .number(3 * 4096))
    #expect(report["installed"]["poisoned"] == .number(4096))
  }

  @Test("a lent pointer that no process can have is the provider's fault", arguments: placements)
  func impossiblePointer(_ placement: [String: String]) async throws {
    let lie = ["LIE": "return lend(folio, (const void *)(255ull << 56), 4096, 1)", "LENDS": "1"]
    let outcome = try await exhibit(
      "alloc.c", lie.merging(placement) { $1 }, ["--deadline", "5", "--json"])
    expectEnd(outcome, code: 1)
    #expect(outcome.errors.contains("gallery: put back"), "\(outcome.story)")
    #expect(!outcome.errors.contains("bug of the host"), "\(outcome.story)")
  }
}

// SPDX-License-Identifier: Apache-2.0
// configure and config_complete that fail, and traits that are not what the table promised.
import TestSupport
import Testing

/// What the host says of a status that a configuration hook may, or may not, answer.
private let statuses: [(status: String, says: String, code: Int32)] = [
  ("UFFD_STATUS_ABSENT", "does not accept its configuration: %@ answered ABSENT and gave", 2),
  ("UFFD_STATUS_OUT_OF_RANGE", "does not accept its configuration: %@ answered OUT_OF_RANGE", 2),
  ("UFFD_STATUS_IO_ERROR", "does not accept its configuration: %@ answered IO_ERROR", 2),
  ("UFFD_STATUS_NO_MEMORY", "cannot be configured: %@ answered NO_MEMORY and gave no reason", 4),
  ("UFFD_STATUS_GONE", "cannot be configured: %@ answered GONE and gave no reason", 4),
  ("UFFD_STATUS_BUSY", "broke the contract: %@ returned BUSY", 3),
  ("77", "broke the contract: %@ returned the unknown status 77", 3),
]

@Suite("Gallery: configuration")
struct ConfigurationTests {
  @Test("configure answers a failure; close does not follow", arguments: statuses)
  func configure(_ status: String, _ says: String, _ code: Int32) async throws {
    let lie = Lie(
      ["CONFIGURE": "return \(status)"], says.replacing("%@", with: "configure"), code: code)
    expectRefusal(try await exhibit("configure.c", lie.define), lie)
  }

  @Test("config_complete answers a failure; close follows", arguments: statuses)
  func complete(_ status: String, _ says: String, _ code: Int32) async throws {
    let lie = Lie(
      ["COMPLETE": "return \(status)"], says.replacing("%@", with: "config_complete"), code: code)
    let outcome = try await exhibit("configure.c", lie.define)
    expectRefusal(outcome, lie, also: 1)
    #expect(outcome.errorLines.first == "uffdhost: info: gallery: closed")
  }

  @Test("the provider's own words take the place of the host's", arguments: ["GONE", "IO_ERROR"])
  func words(_ status: String) async throws {
    let lie = Lie(
      [
        "CONFIGURE": #"say(host, "no"); say(host, "the lamp\nis broken"); "#
          + "return UFFD_STATUS_\(status)"
      ], ": the lamp is broken", code: status == "GONE" ? 4 : 2)
    expectRefusal(try await exhibit("configure.c", lie.define), lie)
  }

  @Test("OK without an instance")
  func noInstance() async throws {
    let lie = Lie(
      ["CONFIGURE": "free(*instance); *instance = NULL; return UFFD_STATUS_OK"],
      "broke the contract: configure answered OK without an instance")
    expectRefusal(try await exhibit("configure.c", lie.define), lie)
  }

  static let traits = [
    Lie("traits->object_size = 0", "object_size is 0"),
    Lie("traits->object_size = ~0ull", "object_size 18446744073709551615 is larger than an"),
    Lie("traits->granule = 0", "granule 0 is none that its table declares"),
    Lie("traits->granule = UFFD_GRANULE_2M", "granule 2097152 is none that its table declares"),
    Lie("traits->granule = 5000", "granule 5000 is none that its table declares"),
    Lie("traits->memory_kind = 0", "memory_kind 0 is none that its table declares"),
    Lie("traits->memory_kind = 9", "memory_kind 9 is none that its table declares"),
    Lie("traits->memory_kind = UFFD_MEMORY_SHMEM", "memory_kind 2 is none that its table declares"),
    Lie("traits->backing = UFFD_BACKING_HOST", "backing 1 does not go with anon memory"),
    Lie("traits->backing = 7", "backing 7 does not go with anon memory"),
    Lie("traits->may_block = 2", "may_block, hole or reserved has a value that ABI 1"),
    Lie("traits->hole = 2", "may_block, hole or reserved has a value that ABI 1"),
    Lie("traits->reserved = 1", "may_block, hole or reserved has a value that ABI 1"),
    Lie("traits->thread_model = 4000", "thread_model may only tighten what the table declares"),
    Lie("traits->file_role = 9", "file_role 9 does not go with backing 0"),
    Lie("traits->file_role = UFFD_FILE_BACKING", "file_role 2 does not go with backing 0"),
    Lie(
      "traits->file_role = UFFD_FILE_CONTENT", "it declares a file without the behaviour"
    ),
  ]

  @Test("traits that break the table's promise; close follows", arguments: traits)
  func promise(_ lie: Lie) async throws {
    let outcome = try await exhibit(
      "configure.c", ["COMPLETE": lie.define["LIE"]! + "; return UFFD_STATUS_OK"])
    let full = Lie(
      lie.define, "broke the contract in config_complete: \(lie.says)", code: lie.code)
    expectRefusal(outcome, full, also: 1)
  }

  @Test("a thread model looser than the table's", arguments: ["SERIAL", "PER_INSTANCE"])
  func looser(_ model: String) async throws {
    let lie = Lie(
      [
        "COMPLETE": "traits->thread_model = UFFD_THREADS_PARALLEL; return UFFD_STATUS_OK",
        "MODEL": "UFFD_THREADS_\(model)",
      ], "thread_model may only tighten what the table declares")
    expectRefusal(try await exhibit("configure.c", lie.define), lie, also: 1)
  }

  static let kinds = [
    (
      "traits->backing = UFFD_BACKING_NONE", ".close = closed",
      "backing 0 does not go with shmem memory"
    ),
    (
      "(void)0",
      ".close = closed, .modes = UFFD_MODE_MISSING, .operations = UFFD_OP_ALLOC, "
        + ".get_folio_noalloc = NULL, .filemap_add = NULL, .filemap_remove = NULL",
      "it wants a backing and does not serve minor faults"
    ),
    (
      "traits->memory_kind = UFFD_MEMORY_HUGETLB", ".memory_kinds = UFFD_KINDS_HUGETLB",
      "hugetlb memory has no granule of 4096 bytes"
    ),
  ]

  @Test("a backing that cannot be", arguments: kinds)
  func backing(_ change: String, _ table: String, _ says: String) async throws {
    let lie = Lie(
      ["COMPLETE": "\(change); return UFFD_STATUS_OK", "TABLE": table, "SHMEM": "1"], says)
    expectRefusal(try await exhibit("configure.c", lie.define), lie, also: 1)
  }

  @Test("nothing to provide content with")
  func nothing() async throws {
    let lie = Lie(
      [
        "COMPLETE": "return UFFD_STATUS_OK", "SHMEM": "1",
        "TABLE": ".modes = UFFD_MODE_MINOR, .operations = UFFD_OP_LOOKUP, .alloc_folio = NULL, "
          + ".filemap_add = NULL, .filemap_remove = NULL",
      ], "it has neither alloc_folio nor a declared file")
    expectRefusal(try await exhibit("configure.c", lie.define), lie, also: 1)
  }

  static let objections = [
    Lie(["CAN": "return 0"], "does not serve this region: it gives no reason", code: 2),
    Lie(
      ["CAN": "*reason = \"it is Sunday\"; return 0"],
      "does not serve this region: it is Sunday", code: 2),
    Lie(
      ["CAN": "*reason = (const char *)64; return 0"],
      "does not serve this region: it gives no reason", code: 2),
  ]

  @Test("can_userfault says no", arguments: objections)
  func objection(_ lie: Lie) async throws {
    expectRefusal(try await exhibit("table.c", predicate(lie)), lie)
  }

  @Test("can_userfault says neither yes nor no")
  func maybe() async throws {
    let lie = Lie(["CAN": "return 7"], "broke the contract: can_userfault returned 7")
    let outcome = try await exhibit("table.c", predicate(lie))
    #expect(outcome.errors.contains(lie.says), "\(outcome.story)")
    #expect(outcome.code == 3, "\(outcome.story)")
  }

  private func predicate(_ lie: Lie) -> [String: String] {
    let table = ".operations = UFFD_OP_ALLOC | UFFD_OP_PREDICATE, .can_userfault = can"
    return lie.define.merging(["LIE": table]) { $1 }
  }
}

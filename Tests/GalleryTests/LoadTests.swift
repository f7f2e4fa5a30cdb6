// SPDX-License-Identifier: Apache-2.0
// Libraries that the host must refuse to load, each with its own sentence and exit code 3, and the odd ones
// that it must load.
import TestSupport
import Testing

@Suite("Gallery: tables")
struct LoadTests {
  static let entries = [
    Lie(["LIE": "NULL"], "declined to load: its entry function returned NULL"),
    Lie(
      ["LIE": "NULL", "uffd_provider_entry_v1": "uffd_provider_entry_v2"],
      "it has no symbol uffd_provider_entry_v1; was it built for another ABI major?"),
    Lie("(const uffd_provider *)64", "returned a pointer that cannot be read"),
    Lie("(const uffd_provider *)0xffff800000000000", "returned a pointer that cannot be read"),
    Lie("cut_off(2)", "returned a pointer that cannot be read"),
    Lie("cut_off(4)", "its table is shorter than the 224 bytes it declares"),
    Lie("cut_off(223)", "its table is shorter than the 224 bytes it declares"),
  ]

  @Test("an entry function that gives no table", arguments: entries)
  func entry(_ lie: Lie) async throws {
    expectRefusal(try await exhibit("entry.c", lie.define), lie)
  }

  static let values = [
    Lie(".abi = 0x20000u", "it was made for ABI 2.0, this host speaks 1.x"),
    Lie(".abi = 5", "it was made for ABI 0.5, this host speaks 1.x"),
    Lie(".size = 0", "its table is 0 bytes, ABI 1.0 needs at least 224"),
    Lie(".size = 216", "its table is 216 bytes, ABI 1.0 needs at least 224"),
    Lie(".requires_minor = 9", "it needs ABI 1.9, this host has 1.0"),
    Lie(".thread_model = 0", "its thread model 0 is unknown"),
    Lie(".thread_model = 1500", "its thread model 1500 is unknown"),
    Lie(
      ".operations = UFFD_OP_ALLOC | 0x8000", "its operations have the bit 0x8000, which is unknown"
    ),
    Lie(".modes = 9", "its modes have the bit 0x8, which is unknown"),
    Lie(".modes = 0", "it serves no kind of fault"),
    Lie(".memory_kinds = 3", "its memory_kinds have the bit 0x1, which is unknown"),
    Lie(".memory_kinds = 0", "it serves no kind of memory"),
    Lie(".behaviours = 8", "its behaviours have the bit 0x8, which is unknown"),
    Lie(".granules = 0", "its granules are 0x0, which is no sum of 4K, 2M and 1G"),
    Lie(".granules = 0x3000", "its granules are 0x3000, which is no sum"),
    Lie(".name = NULL", "its name is missing or is not of the form [a-z][a-z0-9-]*"),
    Lie(".name = \"\"", "its name is missing or is not of the form"),
    Lie(".name = \"Big\"", "its name is missing or is not of the form"),
    Lie(".name = \"a b\"", "its name is missing or is not of the form"),
    Lie(".name = (const char *)64", "its name is missing or is not of the form"),
    Lie(".version = NULL", "its version text is missing or unreadable"),
    Lie(".version = (const char *)64", "its version text is missing or unreadable"),
    Lie(".summary = NULL", "its summary text is missing or unreadable"),
    Lie(".summary = (const char *)-1", "its summary text is missing or unreadable"),
    Lie(".parameter_count = 1", "its parameter list is NULL or has more than 1024 entries (1)"),
    Lie("LIST(good_list, 2000000)", "its parameter list is NULL or has more than 1024 entries"),
    Lie("LIST(good_list, 2), .parameter_stride = 39", "its parameter_stride is 39"),
    Lie("LIST(good_list, 2), .parameter_stride = 1 << 20", "its parameter_stride is 1048576"),
    Lie("LIST((const void *)64, 1)", "its parameter 0 has no key of the form"),
    Lie("LIST(no_key, 1)", "its parameter 0 has no key of the form"),
    Lie("LIST(bad_key, 1)", "its parameter 0 has no key of the form"),
    Lie("LIST(wild_key, 1)", "its parameter 0 has no key of the form"),
    Lie("LIST(odd_kind, 1)", "its parameter 'text' has the unknown kind 77"),
    Lie("LIST(twice, 2)", "it declares the parameter 'text' twice"),
    Lie(".configure = NULL", "the required hook 'configure' is missing"),
    Lie(".config_complete = NULL", "the required hook 'config_complete' is missing"),
    Lie(".close = NULL", "the required hook 'close' is missing"),
    Lie(
      ".modes = UFFD_MODE_MISSING | UFFD_MODE_MINOR",
      "it declares the mode 'minor' without the capability 'lookup'"),
    Lie(
      ".operations = 0, .alloc_folio = NULL",
      "it declares the mode 'missing' without the capability 'alloc'"),
    Lie(
      ".operations = UFFD_OP_LEND | UFFD_OP_LOOKUP, .alloc_folio = NULL, .put_folio = put, "
        + ".get_folio_noalloc = gallery_lookup, .modes = UFFD_MODE_MINOR",
      "the capability 'lend' needs 'alloc'"),
    Lie(
      ".operations = UFFD_OP_CANCEL | UFFD_OP_LOOKUP, .alloc_folio = NULL, .cancel = cancel, "
        + ".get_folio_noalloc = gallery_lookup, .modes = UFFD_MODE_MINOR",
      "the capability 'cancel' needs 'alloc'"),
    Lie(
      ".operations = UFFD_OP_ALLOC | UFFD_OP_WRITEBACK, .writeback = writeback",
      "the capabilities 'writeback' and 'flush' go together"),
    Lie(
      ".operations = UFFD_OP_ALLOC | UFFD_OP_FLUSH, .flush = flush",
      "the capabilities 'writeback' and 'flush' go together"),
  ]

  @Test("a field with a wrong value", arguments: values)
  func value(_ lie: Lie) async throws {
    expectRefusal(try await exhibit("table.c", lie.define), lie)
  }

  /// The capability, its bit, its hook and a function of table.c that would do.
  static let capabilities = [
    ("lend", "UFFD_OP_LEND", "put_folio", "put"),
    ("lookup", "UFFD_OP_LOOKUP", "get_folio_noalloc", "gallery_lookup"),
    ("filemap", "UFFD_OP_FILEMAP", "filemap_add", "gallery_add"),
    ("filemap", "UFFD_OP_FILEMAP", "filemap_remove", "gallery_remove"),
    ("discard", "UFFD_OP_DISCARD", "discard", "hint"),
    ("extents", "UFFD_OP_EXTENTS", "extents", "extents"),
    ("will-need", "UFFD_OP_WILL_NEED", "will_need", "hint"),
    ("writeback", "UFFD_OP_WRITEBACK", "writeback", "writeback"),
    ("flush", "UFFD_OP_FLUSH", "flush", "flush"),
    ("cancel", "UFFD_OP_CANCEL", "cancel", "cancel"),
    ("predicate", "UFFD_OP_PREDICATE", "can_userfault", "can"),
  ]

  @Test("a capability without its hook", arguments: capabilities)
  func bitWithoutHook(_ name: String, _ bit: String, _ hook: String, _ function: String)
    async throws
  {
    // Where two hooks stand for one capability, the other one is there.
    let other = [
      "filemap_add": ", .filemap_remove = gallery_remove",
      "filemap_remove": ", .filemap_add = gallery_add",
    ]
    let lie = Lie(
      ".operations = UFFD_OP_ALLOC | \(bit)\(other[hook] ?? "")",
      "it declares the capability '\(name)' without the hook '\(hook)'")
    expectRefusal(try await exhibit("table.c", lie.define), lie)
  }

  @Test("a hook without its capability", arguments: capabilities)
  func hookWithoutBit(_ name: String, _ bit: String, _ hook: String, _ function: String)
    async throws
  {
    let lie = Lie(
      ".\(hook) = \(function)",
      "it has the hook '\(hook)' without declaring the capability '\(name)'")
    expectRefusal(try await exhibit("table.c", lie.define), lie)
  }

  @Test("'alloc', both ways")
  func alloc() async throws {
    var lie = Lie(
      ".alloc_folio = NULL", "it declares the capability 'alloc' without the hook 'alloc_folio'")
    expectRefusal(try await exhibit("table.c", lie.define), lie)
    lie = Lie(
      ".operations = 0", "it has the hook 'alloc_folio' without declaring the capability 'alloc'")
    expectRefusal(try await exhibit("table.c", lie.define), lie)
  }

  /// What a newer provider may have without harm.
  static let odd = [
    ("entry.c", "longer()"), ("table.c", ".abi = UFFD_ABI + 3"),
    ("table.c", ".abi = UFFD_ABI + 1, .operations = UFFD_OP_ALLOC | 0x8000"),
    ("table.c", "LIST(good_list, 2)"),
  ]

  @Test("a table that is odd and right is served", arguments: odd)
  func loads(_ piece: String, _ text: String) async throws {
    let outcome = try await exhibit(piece, ["LIE": text], ["--verify", "provider", "--json"])
    expectEnd(outcome, code: 0)
    #expect(try JSONValue(parsing: outcome.output)["verified"] == .boolean(true))
  }
}

// SPDX-License-Identifier: Apache-2.0
// The names of the contract's bits and hooks, for checks, messages and `inspect`.
import UffdPluginABI

/// One bit of `uffd_provider.operations` and the hooks that it stands for.
struct Capability {
  let name: String
  let bit: UInt64
  let hooks: [String]

  private init(_ name: String, _ operation: uffd_operations, _ hooks: String...) {
    self.name = name
    bit = operation.rawValue
    self.hooks = hooks
  }

  static var all: UInt64 { list.reduce(0) { $0 | $1.bit } }

  static let list: [Capability] = [
    Capability("alloc", .alloc, "alloc_folio"),
    Capability("lend", .lend, "put_folio"),
    Capability("lookup", .lookup, "get_folio_noalloc"),
    Capability("filemap", .filemap, "filemap_add", "filemap_remove"),
    Capability("discard", .discard, "discard"),
    Capability("extents", .extents, "extents"),
    Capability("will-need", .willNeed, "will_need"),
    Capability("writeback", .writeback, "writeback"),
    Capability("flush", .flush, "flush"),
    Capability("cancel", .cancel, "cancel"),
    Capability("predicate", .predicate, "can_userfault"),
  ]

  static let behaviours: [(name: String, bit: uffd_behaviours)] = [
    ("blocks", .blocks), ("volatile", .volatile), ("declarative", .declarative),
  ]
  static let modes: [(name: String, bit: uffd_modes)] = [
    ("missing", .missing), ("wp", .wp), ("minor", .minor),
  ]
}

extension uffd_provider {
  /// The hooks that are not NULL, by name, in the order of the table.
  var hookNames: [String] {
    let all = unsafe [
      ("configure", configure != nil), ("config_complete", config_complete != nil),
      ("can_userfault", can_userfault != nil), ("alloc_folio", alloc_folio != nil),
      ("put_folio", put_folio != nil), ("get_folio_noalloc", get_folio_noalloc != nil),
      ("filemap_add", filemap_add != nil), ("filemap_remove", filemap_remove != nil),
      ("discard", discard != nil), ("extents", extents != nil), ("will_need", will_need != nil),
      ("writeback", writeback != nil), ("flush", flush != nil), ("cancel", cancel != nil),
      ("close", close != nil),
    ]
    return all.filter(\.1).map(\.0)
  }
}

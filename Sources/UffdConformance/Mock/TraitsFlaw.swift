// SPDX-License-Identifier: Apache-2.0
// What may be wrong with what config_complete declared. Written from the header alone, not from the host's
// own check: the two must agree. Pure.
import UffdPluginABI

enum TraitsFlaw {
  static let rule = Check(
    "config.traits", "config_complete declares what the table allows",
    "Bytes; one of those the table declares.")

  /// The first flaw, or nil.
  static func find(_ traits: uffd_traits, _ table: uffd_provider) -> Breach? {
    func flaw(_ text: String) -> Breach { Breach(rule, text) }
    if unsafe traits.object_size == 0 { return flaw("object_size is 0") }
    if unsafe traits.granule.nonzeroBitCount != 1 || table.granules & traits.granule == 0 {
      return flaw(unsafe "granule \(traits.granule) is none of the table's")
    }
    if unsafe traits.object_size > UInt64(Int64.max) - traits.granule {
      return flaw(unsafe "object_size \(traits.object_size) is larger than an address space")
    }
    let kind = unsafe traits.memory_kind
    let bit = kind.rawValue < 64 ? uffd_memory_kinds(rawValue: 1 << UInt64(kind.rawValue)) : []
    if unsafe bit.isEmpty || !table.memory_kinds.contains(bit) {
      return flaw("memory_kind \(kind.rawValue) is none of the table's")
    }
    if unsafe kind == .hugetlb && traits.granule <= 4096 {
      return flaw("hugetlb memory with granules of 4096 bytes")
    }
    if unsafe kind != .hugetlb && traits.granule != 4096 {
      return flaw(unsafe "granules of \(traits.granule) bytes of memory that is not hugetlb")
    }
    let wanted: Bool =
      switch unsafe traits.backing {
      case .none: kind == .anon
      case .host, .file: kind == .shmem || kind == .hugetlb
      default: false
      }
    if !wanted {
      return flaw(unsafe "backing \(traits.backing.rawValue) with memory kind \(kind.rawValue)")
    }
    if unsafe traits.backing != .none && !table.modes.contains(.minor) {
      return flaw("a backing, but no minor faults")
    }
    if unsafe traits.may_block > 1 || traits.hole.rawValue > 1 || traits.reserved != 0 {
      return flaw("a value of may_block, hole or reserved that ABI 1 does not have")
    }
    if unsafe traits.file_role != .unused && !table.behaviours.contains(.declarative) {
      return flaw("a file without DECLARATIVE")
    }
    if unsafe traits.thread_model == .serial && table.thread_model != .serial {
      return flaw("thread_model SERIAL, which only a table can declare")
    }
    let (own, declared) = unsafe (traits.thread_model.rawValue, table.thread_model.rawValue)
    if own != 0 && (![1000, 2000, 3000].contains(own) || own > declared) {
      return flaw("thread_model \(own), where the table declares \(declared)")
    }
    return nil
  }
}

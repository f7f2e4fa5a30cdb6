// SPDX-License-Identifier: Apache-2.0
// What an instance declared, checked against what its library declared.
import UffdPluginABI

/// A checked `uffd_traits`.
struct Traits {
  let objectSize: UInt64
  let granule: UInt64
  let memoryKind: MemoryKind
  let threadModel: Provider.ThreadModel
  let mayBlock: Bool
  let hasHostBacking: Bool
  let holeIsZero: Bool
  let contentIdentifier: (high: UInt64, low: UInt64)?

  init(_ raw: uffd_traits, _ provider: Provider) throws(HostError) {
    func broken(_ text: String) -> HostError { Traits.broken(provider, text) }
    let table = unsafe provider.table.raw
    guard unsafe raw.object_size > 0 else { throw broken("object_size is 0") }
    guard unsafe raw.granule.nonzeroBitCount == 1, unsafe table.granules & raw.granule != 0 else {
      throw broken(unsafe "granule \(raw.granule) is none that its table declares")
    }
    guard unsafe raw.object_size <= UInt64(Int64.max) - raw.granule else {
      throw broken(unsafe "object_size \(raw.object_size) is larger than an address space")
    }
    guard let kind = unsafe MemoryKind(raw.memory_kind),
      unsafe table.memory_kinds.contains(kind.set)
    else {
      throw broken(unsafe "memory_kind \(raw.memory_kind.rawValue) is none that its table declares")
    }
    // Pages have a state each, and a client may discard or punch a single page of memory.
    guard unsafe kind == .hugetlb || raw.granule == 4096 else {
      throw broken(
        unsafe "\(kind.rawValue) memory is served in granules of 4096 bytes, not \(raw.granule)")
    }
    guard unsafe kind != .hugetlb || raw.granule > 4096 else {
      throw broken(unsafe "hugetlb memory has no granule of \(raw.granule) bytes")
    }
    guard unsafe raw.may_block <= 1, unsafe raw.reserved == 0, unsafe raw.hole.rawValue <= 1 else {
      throw broken("may_block, hole or reserved has a value that ABI 1 does not have")
    }
    unsafe try Traits.checkBacking(raw, kind, provider)
    guard let declared = unsafe Provider.ThreadModel(table.thread_model) else {
      throw broken("its thread model is unknown")
    }
    var model = declared
    if unsafe raw.thread_model != .unchanged {
      guard let tighter = unsafe Provider.ThreadModel(raw.thread_model),
        tighter.freedom <= declared.freedom
      else { throw broken("thread_model may only tighten what the table declares") }
      // Other instances of the library may be in other threads by now.
      guard tighter != .serial || declared == .serial else {
        throw broken("SERIAL is a property of the library: its table must declare it")
      }
      model = tighter
    }
    objectSize = unsafe raw.object_size
    granule = unsafe raw.granule
    memoryKind = kind
    threadModel = model
    mayBlock = unsafe raw.may_block == 1 || table.behaviours.contains(.blocks)
    hasHostBacking = unsafe raw.backing == .host
    holeIsZero = unsafe raw.hole == .zero
    contentIdentifier =
      unsafe raw.content_id_high == 0 && raw.content_id_low == 0
      ? nil : (raw.content_id_high, raw.content_id_low)
  }

  /// Whether backing, file and hooks go together.
  private static func checkBacking(
    _ raw: uffd_traits, _ kind: MemoryKind, _ provider: Provider
  ) throws(HostError) {
    func broken(_ text: String) -> HostError { Traits.broken(provider, text) }
    let table = unsafe provider.table.raw
    switch unsafe (raw.backing, kind) {
    case (.none, .anon), (.host, .shmem), (.host, .hugetlb), (.file, .shmem), (.file, .hugetlb):
      break
    default:
      throw broken(
        unsafe "backing \(raw.backing.rawValue) does not go with \(kind.rawValue) memory")
    }
    if unsafe raw.backing != .none, unsafe !table.modes.contains(.minor) {
      throw broken("it wants a backing and does not serve minor faults")
    }
    switch unsafe (raw.file_role, raw.backing) {
    case (.unused, .none), (.unused, .host), (.content, .none), (.content, .host),
      (.backing, .file):
      break
    default:
      throw broken(
        unsafe "file_role \(raw.file_role.rawValue) does not go with backing \(raw.backing.rawValue)"
      )
    }
    if unsafe raw.file_role != .unused, unsafe !table.behaviours.contains(.declarative) {
      throw broken("it declares a file without the behaviour 'declarative'")
    }
    let isProvided = unsafe table.operations.contains(.alloc) || raw.file_role != .unused
    guard isProvided else { throw broken("it has neither alloc_folio nor a declared file") }
  }

  private static func broken(_ provider: Provider, _ text: String) -> HostError {
    HostError(
      .refused, "the provider '\(provider.name)' broke the contract in config_complete: \(text)")
  }
}

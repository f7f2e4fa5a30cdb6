// SPDX-License-Identifier: Apache-2.0

// An instance with a backing of the host: a Content, and the filemap of what of it was published. What
// ShmemProvider and HugetlbProvider have in common. PARALLEL, and never blocks.

internal import CLinux
public import UffdPluginABI
public import UffdProviderKit

/// An instance whose content is published into a backing.
@safe
open class FilemapInstance: ContentInstance {
  private let memoryKind: uffd_memory_kind
  private let filemap: Filemap
  // SAFETY: one word, only touched atomically, freed in deinit.
  private let foreignMemoryNoted: UnsafeMutablePointer<UInt64>

  /// The hooks of this class.
  public static let filemapOperations: uffd_operations =
    ContentInstance.contentOperations.union([.lookup, .filemap, .discard])

  /// The keys of this class.
  public static let filemapParameters =
    Content.parameters + [
      ParameterDescription(
        "limit", .number,
        help: "granules that the backing may hold; when they are used up, pages cannot be filled",
        defaultValue: "as many as the object has")
    ]

  /// `memoryKind` and `granule` (bytes) are those of the backing.
  public init(
    host: HostServices, parameters: ParameterList, memoryKind: uffd_memory_kind, granule: UInt64
  ) throws(ProviderError) {
    let content = try Content(
      parameters, granule: granule, largestGranule: max(granule, UInt64(UFFD_GRANULE_2M)))
    self.memoryKind = memoryKind
    filemap = try Filemap(
      granules: content.granules(of: granule), limit: try parameters.number("limit"))
    unsafe foreignMemoryNoted = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    unsafe foreignMemoryNoted.initialize(to: 0)
    super.init(host: host, content: content, granule: granule)
  }

  public required convenience init(
    host: HostServices, parameters: ParameterList
  ) throws(ProviderError) {
    try self.init(
      host: host, parameters: parameters, memoryKind: .shmem, granule: UInt64(UFFD_GRANULE_4K))
  }

  deinit {
    unsafe foreignMemoryNoted.deallocate()
  }

  public final override func configComplete() throws(ProviderError) -> ProviderTraits {
    var traits = try super.configComplete()
    traits.memoryKind = memoryKind
    traits.backing = .host
    return traits
  }

  public final override func canUserfault(_ query: RegionQuery) -> AttachDecision {
    guard query.flags.contains(.foreign) else { return canUseBacking(query) }
    guard query.memoryKind == .anon || query.memoryKind == memoryKind else {
      return .no("foreign memory must be anonymous or of the provider's own kind")
    }
    guard !query.modes.contains(.minor) else {
      return .no("the provider's filemap does not know what foreign memory holds")
    }
    guard query.granule <= content.largestGranule else {
      return .no("its granule is larger than any that this instance serves")
    }
    if unsafe clinux_exchange(foreignMemoryNoted, 1) == 0 {
      host.log(.info, "foreign memory gets content only; the filemap is not used for it")
    }
    return .yes
  }

  /// A region of the host's own, which maps the backing.
  private func canUseBacking(_ query: RegionQuery) -> AttachDecision {
    guard query.memoryKind == memoryKind else {
      return .no("the backing is another kind of memory")
    }
    guard query.granule == granule else {
      return .no("its granule is not that of the backing")
    }
    return .yes
  }

  public final override func getFolioNoalloc(pgoff: UInt64, ticket: UInt64) -> uffd_status {
    guard pgoff < filemap.granules else { return .outOfRange }
    return filemap.contains(pgoff) ? .ok : .absent
  }

  public final override func filemapAdd(pgoff: UInt64, count: UInt64) -> uffd_status {
    switch filemap.add(pgoff: pgoff, count: count) {
    case .added: return .ok
    case .outOfRange: return .outOfRange
    case .limitReached:
      reportLimit()
      return .noMemory
    case .alreadyThere(let already):
      // They are accounted, once: that is what OK promises.
      reportMismatch("added", pgoff, count, "\(already) of them were in the filemap already")
      return .ok
    }
  }

  public final override func filemapRemove(pgoff: UInt64, count: UInt64) {
    let removed = filemap.remove(pgoff: pgoff, count: count)
    if removed != count {
      reportMismatch("removed", pgoff, count, "only \(removed) of them were in the filemap")
    }
  }

  /// The granules read zero from now on, and nothing accounts them. Which of them were filled only the
  /// client knew, so none of them need be there.
  public final override func discard(pgoff: UInt64, count: UInt64) {
    _ = filemap.remove(pgoff: pgoff, count: count)
  }

  @inline(never)
  private func reportLimit() {
    host.reportError(
      "the limit of \(filemap.limit) granules is reached: give a larger limit=, or none")
  }

  @inline(never)
  private func reportMismatch(
    _ verb: String, _ pgoff: UInt64, _ count: UInt64, _ found: @autoclosure () -> String
  ) {
    host.log(
      .error, "the host \(verb) \(count) granules from pgoff \(pgoff), but \(found()): a host bug")
  }
}

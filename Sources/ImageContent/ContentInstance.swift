// SPDX-License-Identifier: Apache-2.0

// An instance that serves a Content: the hooks that the three providers have in common. PARALLEL, and
// never blocks.

public import UffdPluginABI
public import UffdProviderKit

/// An instance that serves an image or a pattern. As it is, it serves anonymous memory.
open class ContentInstance: ProviderInstance {
  public let content: Content
  /// Bytes; the instance's own, not a region's.
  public let granule: UInt64

  /// The hooks of this class.
  public static let contentOperations: uffd_operations = [
    .alloc, .lend, .extents, .willNeed, .predicate,
  ]

  public init(host: HostServices, content: Content, granule: UInt64) {
    self.content = content
    self.granule = granule
    super.init(host: host)
  }

  public required init(host: HostServices, parameters: ParameterList) throws(ProviderError) {
    granule = UInt64(UFFD_GRANULE_4K)
    content = try Content(
      parameters, granule: granule, largestGranule: UInt64(UFFD_GRANULE_2M))
    super.init(host: host)
  }

  open override func configComplete() throws(ProviderError) -> ProviderTraits {
    var traits = ProviderTraits(
      objectSize: content.objectSize, granule: granule, memoryKind: .anon, backing: .none)
    traits.contentID = content.contentID
    return traits
  }

  public final override func allocFolio(
    _ request: borrowing FolioRequest, _ answer: inout FolioAnswer
  ) -> uffd_status {
    content.answer(request, &answer)
  }

  /// What is lent lives as long as the instance, so there is nothing to take back.
  public final override func putFolio(_ folio: borrowing LentFolio, pgoff: UInt64) {}

  public final override func extents(
    pgoff: UInt64, count: UInt64, _ list: inout ExtentList
  ) -> uffd_status {
    content.extents(pgoff: pgoff, count: count, granule: granule, &list)
  }

  public final override func willNeed(pgoff: UInt64, count: UInt64) {
    content.willNeed(pgoff: pgoff, count: count, granule: granule)
  }
}

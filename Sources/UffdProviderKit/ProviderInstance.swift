// SPDX-License-Identifier: Apache-2.0

// The class that an author of a provider subclasses: one object per configured instance, one method
// per hook of the contract. Which thread calls which method, and what may block, is said at each hook
// in uffd_plugin.h.

public import UffdPluginABI

/// One configured instance of a provider. Override the hooks whose bits `ProviderDescription` sets;
/// a hook without its bit is never called.
///
/// The kit keeps the object alive from `init` until the host closes the instance: `deinit` is the
/// place to free. On the fault path it neither retains nor allocates. To keep it so, hold state in
/// `let` properties (pointers, atomics, final classes): a `var` costs an exclusivity check per access.
/// A provider that is PARALLEL must make its methods safe to call from several threads at once.
open class ProviderInstance {
  /// The services of the host, until `deinit`.
  public let host: HostServices

  public init(host: HostServices) {
    self.host = host
  }

  /// Makes an instance from the user's parameters. The corresponding C hook is `configure`.
  public required init(host: HostServices, parameters: ParameterList) throws(ProviderError) {
    self.host = host
  }

  /// The last chance for an error on the user's terminal. The corresponding C hook is
  /// `config_complete`.
  open func configComplete() throws(ProviderError) -> ProviderTraits {
    throw ProviderError(.gone, "the provider does not say what it serves")
  }

  /// May this region attach? Bit PREDICATE.
  open func canUserfault(_ query: RegionQuery) -> AttachDecision { .yes }

  /// The content of a folio that is not there yet. Bit ALLOC. On `ok` the answer is filled.
  open func allocFolio(
    _ request: borrowing FolioRequest, _ answer: inout FolioAnswer
  ) -> uffd_status { .gone }

  /// Takes lent memory back, exactly once per answer. Bit LEND.
  open func putFolio(_ folio: borrowing LentFolio, pgoff: UInt64) {}

  /// Does the filemap hold this granule? Bit LOOKUP.
  open func getFolioNoalloc(pgoff: UInt64, ticket: UInt64) -> uffd_status { .gone }

  /// Accounts granules whose content is about to be published, all or none. Bit FILEMAP.
  open func filemapAdd(pgoff: UInt64, count: UInt64) -> uffd_status { .gone }

  /// Undoes `filemapAdd`. Bit FILEMAP.
  open func filemapRemove(pgoff: UInt64, count: UInt64) {}

  /// A client punched these granules out of the backing. Bit DISCARD.
  open func discard(pgoff: UInt64, count: UInt64) {}

  /// What is data and what is known to be zero: runs that begin at `pgoff` and follow each other
  /// without a gap. Bit EXTENTS.
  open func extents(pgoff: UInt64, count: UInt64, _ list: inout ExtentList) -> uffd_status { .gone }

  /// These granules will be asked for soon. Bit WILL_NEED.
  open func willNeed(pgoff: UInt64, count: UInt64) {}

  /// Stores the bytes of a dirty folio. Bit WRITEBACK.
  open func writeback(
    pgoff: UInt64, count: UInt64, _ bytes: UnsafeRawBufferPointer
  ) -> uffd_status { .gone }

  /// Makes every writeback that returned `ok` durable. Bit FLUSH.
  open func flush() -> uffd_status { .gone }

  /// The answer to this ticket is not wanted any more. Any thread, whatever the thread model. Bit
  /// CANCEL.
  open func cancel(ticket: UInt64) {}
}

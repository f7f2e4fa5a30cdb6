// SPDX-License-Identifier: Apache-2.0

// The C side of the hooks: from the opaque instance pointer to the object and its method. Called by
// the host, on the threads that uffd_plugin.h names. Nothing here retains or allocates, except while
// an instance is made.

internal import UffdPluginABI

/// Sets the hook of every bit of `operations`, and the three that every provider has.
func setHooks(_ table: inout uffd_provider, _ operations: uffd_operations) {
  unsafe table.configure = configure
  unsafe table.config_complete = configComplete
  unsafe table.close = close
  if operations.contains(.predicate) { unsafe table.can_userfault = canUserfault }
  if operations.contains(.alloc) { unsafe table.alloc_folio = allocFolio }
  if operations.contains(.lend) { unsafe table.put_folio = putFolio }
  if operations.contains(.lookup) { unsafe table.get_folio_noalloc = getFolioNoalloc }
  if operations.contains(.filemap) {
    unsafe table.filemap_add = filemapAdd
    unsafe table.filemap_remove = filemapRemove
  }
  if operations.contains(.discard) { unsafe table.discard = discard }
  if operations.contains(.extents) { unsafe table.extents = extents }
  if operations.contains(.willNeed) { unsafe table.will_need = willNeed }
  if operations.contains(.writeback) { unsafe table.writeback = writeback }
  if operations.contains(.flush) { unsafe table.flush = flush }
  if operations.contains(.cancel) { unsafe table.cancel = cancel }
}

/// Calls `body` with the object behind `pointer`.
// SAFETY: the host gives back the pointer that configure made, and not after close; the reference that
// configure took keeps the object alive meanwhile.
@inline(__always)
private func with<Result>(
  _ pointer: OpaquePointer, _ body: (ProviderInstance) -> Result
) -> Result {
  unsafe Unmanaged<ProviderInstance>.fromOpaque(UnsafeRawPointer(pointer))
    ._withUnsafeGuaranteedRef(body)
}

// --- Life -----------------------------------------------------------------------------------------

private func configure(
  _ host: UnsafePointer<uffd_host>, _ parameters: UnsafePointer<uffd_parameter>?, _ count: UInt64,
  _ instance: UnsafeMutablePointer<OpaquePointer?>
) -> uffd_status {
  let services = unsafe HostServices(host)
  guard let registration = unsafe registered else { return .gone }
  do throws(ProviderError) {
    let list = try unsafe ParameterList(parameters, count, declared: registration.keys)
    let made = try registration.type.init(host: services, parameters: list)
    unsafe instance.pointee = unsafe OpaquePointer(Unmanaged.passRetained(made).toOpaque())
    return .ok
  } catch {
    services.reportError(error.message)
    return error.status
  }
}

private func configComplete(
  _ instance: OpaquePointer, _ out: UnsafeMutablePointer<uffd_traits>
) -> uffd_status {
  unsafe with(instance) { object in
    do throws(ProviderError) {
      let traits = try object.configComplete()
      unsafe out.pointee.memory_kind = traits.memoryKind
      unsafe out.pointee.object_size = traits.objectSize
      unsafe out.pointee.granule = traits.granule
      unsafe out.pointee.backing = traits.backing
      unsafe out.pointee.thread_model = traits.threadModel
      unsafe out.pointee.may_block = traits.mayBlock ? 1 : 0
      unsafe out.pointee.file_role = traits.fileRole
      unsafe out.pointee.file_key = unsafe traits.fileKey.map { unsafe cString($0) }
      unsafe out.pointee.hole = traits.hole
      unsafe out.pointee.content_id_high = traits.contentID.high
      unsafe out.pointee.content_id_low = traits.contentID.low
      return .ok
    } catch {
      object.host.reportError(error.message)
      return error.status
    }
  }
}

private func close(_ instance: OpaquePointer) {
  unsafe Unmanaged<ProviderInstance>.fromOpaque(UnsafeRawPointer(instance)).release()
}

private func canUserfault(
  _ instance: OpaquePointer, _ query: UnsafePointer<uffd_region_query>,
  _ reason: UnsafeMutablePointer<UnsafePointer<CChar>?>
) -> UInt32 {
  switch unsafe with(instance, { unsafe $0.canUserfault(RegionQuery(query.pointee)) }) {
  case .yes: return 1
  case .no(let text):
    unsafe reason.pointee = unsafe cString(text)
    return 0
  }
}

// --- The fault path -------------------------------------------------------------------------------

private func allocFolio(
  _ instance: OpaquePointer, _ request: UnsafePointer<uffd_folio_request>,
  _ folio: UnsafeMutablePointer<uffd_folio>
) -> uffd_status {
  unsafe with(instance) { object in
    var answer = unsafe FolioAnswer(folio)
    return unsafe object.allocFolio(FolioRequest(request), &answer)
  }
}

private func putFolio(
  _ instance: OpaquePointer, _ folio: UnsafePointer<uffd_folio>, _ pgoff: UInt64
) {
  unsafe with(instance) { unsafe $0.putFolio(LentFolio(folio), pgoff: pgoff) }
}

private func getFolioNoalloc(
  _ instance: OpaquePointer, _ pgoff: UInt64, _ ticket: UInt64
) -> uffd_status {
  unsafe with(instance) { $0.getFolioNoalloc(pgoff: pgoff, ticket: ticket) }
}

private func filemapAdd(
  _ instance: OpaquePointer, _ pgoff: UInt64, _ count: UInt64
) -> uffd_status {
  unsafe with(instance) { $0.filemapAdd(pgoff: pgoff, count: count) }
}

private func filemapRemove(_ instance: OpaquePointer, _ pgoff: UInt64, _ count: UInt64) {
  unsafe with(instance) { $0.filemapRemove(pgoff: pgoff, count: count) }
}

private func discard(_ instance: OpaquePointer, _ pgoff: UInt64, _ count: UInt64) {
  unsafe with(instance) { $0.discard(pgoff: pgoff, count: count) }
}

// --- Beside the fault path ------------------------------------------------------------------------

private func extents(
  _ instance: OpaquePointer, _ pgoff: UInt64, _ count: UInt64,
  _ extents: UnsafeMutablePointer<uffd_extent>, _ capacity: UInt64, _ stride: UInt64,
  _ filled: UnsafeMutablePointer<UInt64>
) -> uffd_status {
  unsafe with(instance) { object in
    var list = unsafe ExtentList(extents, capacity: capacity, stride: stride)
    let status = object.extents(pgoff: pgoff, count: count, &list)
    unsafe filled.pointee = list.filled
    return status
  }
}

private func willNeed(_ instance: OpaquePointer, _ pgoff: UInt64, _ count: UInt64) {
  unsafe with(instance) { $0.willNeed(pgoff: pgoff, count: count) }
}

private func writeback(
  _ instance: OpaquePointer, _ pgoff: UInt64, _ count: UInt64, _ bytes: UnsafeRawPointer,
  _ length: UInt64
) -> uffd_status {
  unsafe with(instance) { object in
    let buffer = unsafe UnsafeRawBufferPointer(start: bytes, count: Int(length))
    return unsafe object.writeback(pgoff: pgoff, count: count, buffer)
  }
}

private func flush(_ instance: OpaquePointer) -> uffd_status {
  unsafe with(instance) { $0.flush() }
}

private func cancel(_ instance: OpaquePointer, _ ticket: UInt64) {
  unsafe with(instance) { $0.cancel(ticket: ticket) }
}

// SPDX-License-Identifier: Apache-2.0
// Is what alloc_folio answered what the contract allows? Pure.
import UffdPluginABI

/// A way in which an answer breaks the contract. The text names the rule; the caller names the provider.
enum Violation: String {
  case unknownStatus = "alloc_folio returned a status that ABI 1 does not have"
  case unknownLookupStatus = "get_folio_noalloc returned a status that it may not return"
  case unknownFilemapStatus = "filemap_add returned a status that ABI 1 does not have"
  case unknownKind = "alloc_folio answered OK with an unknown kind of folio"
  case noGranules = "alloc_folio answered OK and covered 0 granules"
  case tooManyGranules = "alloc_folio covered more granules than it was asked for"
  case lentNothing = "alloc_folio lent a NULL pointer"
  case lentWithoutCapability = "alloc_folio lent memory without the capability 'lend'"
  case lentShort = "alloc_folio lent fewer bytes than its granules have"
  case lentServedMemory = "alloc_folio lent memory that the host itself serves"
  case unreadable = "the memory that alloc_folio lent cannot be read"
  case zeroWithMemory = "alloc_folio answered ZERO together with a pointer"
  case foreignStaging = "alloc_folio answered STAGED with memory that is not the host's staging"
  case lostFolio = "get_folio_noalloc answered ABSENT for a granule that filemap_add accepted"
  case unknownExtentsStatus = "extents returned a status that ABI 1 does not have"
  case badExtents = "extents answered OK with a list that is empty, has a gap or leaves its range"
  case absentBusyFilemap = "filemap_add answered ABSENT, BUSY or IO_ERROR, which it may not"
}

/// Checks an OK answer. `foreignStagingSize` is the size of the buffer behind a STAGED pointer other than
/// the request's, if it is one of the host's.
@inline(__always)
func checkFolio(
  _ folio: uffd_folio, count: UInt64, granule: UInt64, staging: UnsafeRawPointer, lends: Bool,
  stagingSize: (UnsafeRawPointer) -> UInt64?
) -> Violation? {
  if unsafe folio.count == 0 { return .noGranules }
  if unsafe folio.count > count { return .tooManyGranules }
  switch unsafe folio.kind {
  case .lent:
    if !lends { return .lentWithoutCapability }
    guard unsafe folio.memory != nil else { return .lentNothing }
    return unsafe folio.length < folio.count * granule ? .lentShort : nil
  case .staged:
    guard let memory = unsafe folio.memory, unsafe memory != staging else { return nil }
    guard let size = unsafe stagingSize(memory), unsafe size >= folio.count * granule else {
      return .foreignStaging
    }
    return nil
  case .zero:
    return unsafe folio.memory == nil ? nil : .zeroWithMemory
  default:
    return .unknownKind
  }
}

// SPDX-License-Identifier: Apache-2.0
// Asking a provider for content without serving a fault: the oracle of a verification.
import Glibc
import UffdPluginABI

/// One read of content into a caller's buffer.
@safe struct DirectReading: @unchecked Sendable {
  private let instance: UnsafeMutablePointer<InstanceRecord>
  private let arena: StagingArena
  private let destination: UnsafeMutableRawPointer

  init(
    _ instance: UnsafeMutablePointer<InstanceRecord>, _ arena: StagingArena,
    _ destination: UnsafeMutableRawPointer
  ) {
    unsafe self.instance = unsafe instance
    self.arena = arena
    unsafe self.destination = unsafe destination
  }

  /// Reads; nil, or what went wrong. A busy provider is asked again for at most 10 seconds.
  func run(_ first: UInt64, _ count: UInt64) -> String? {
    let granule = unsafe instance.pointee.granule
    guard let alloc = unsafe instance.pointee.alloc else { return "it has no alloc_folio" }
    guard let staging = unsafe arena.allocate(granule) else {
      return "there is no memory for staging"
    }
    defer { unsafe arena.free(staging) }
    let limit = monotonicNanoseconds() + 10_000_000_000
    var done: UInt64 = 0
    // A kick for it is ignored, and the question is asked again soon anyway.
    var ticket = LooseTicket.next()
    while done < count {
      var folio = unsafe emptyFolio()
      var request = unsafe folioRequest(
        pgoff: first + done, count: 1, granule: granule, access: 0, ticket: ticket,
        staging: staging,
        stagingLength: granule)
      let status = unsafe alloc(instance.pointee.contentHandle, &request, &folio)
      if status == .busy, monotonicNanoseconds() < limit {
        sleepBriefly()
        continue
      }
      if status != .ok { return "alloc_folio answered \(status.name) for granule \(first + done)" }
      let violation = unsafe checkFolio(
        folio, count: 1, granule: granule, staging: staging, lends: instance.pointee.lends,
        stagingSize: { unsafe arena.size(of: $0) })
      let target = unsafe destination + Int(done * granule)
      var isReadable = true
      switch unsafe folio.kind {
      case _ where violation != nil: break
      case .lent:
        isReadable = unsafe readCarefully(folio.memory!, into: target, length: Int(granule))
      case .staged: unsafe memcpy(target, folio.memory ?? UnsafeRawPointer(staging), Int(granule))
      default: unsafe memset(target, 0, Int(granule))
      }
      if unsafe folio.kind == .lent {
        unsafe instance.pointee.put?(instance.pointee.contentHandle, &folio, first + done)
      }
      if unsafe folio.kind == .staged, let memory = unsafe folio.memory,
        unsafe memory != UnsafeRawPointer(staging)
      {
        unsafe arena.free(UnsafeMutableRawPointer(mutating: memory))
      }
      if let violation { return violation.rawValue }
      if !isReadable { return Violation.unreadable.rawValue }
      done += 1
      ticket = LooseTicket.next()
    }
    return nil
  }
}

// SPDX-License-Identifier: Apache-2.0
// The hooks beside content: the filemap, extents, write-back, the predicate.
import CHookTrap
import CLinux
import Glibc
import UffdPluginABI

extension MockInstance {
  // MARK: Filemap

  /// get_folio_noalloc, asked again while it is BUSY.
  func lookup(_ pgoff: UInt64) throws -> Status {
    let ticket = newTicket()
    let limit = clinux_now() + 10_000_000_000
    while true {
      let status = call("get_folio_noalloc") {
        unsafe Status(table.get_folio_noalloc!(pointer, pgoff, ticket))
      }
      guard [.ok, .absent, .busy, .outOfRange, .gone].contains(status) else {
        throw Breach(Rule.status, "get_folio_noalloc answered \(status)")
      }
      Rule.seen.mark(Rule.lookupStaging)
      try rethrow()
      if status != .busy { return status }
      if clinux_now() > limit {
        throw Breach(Rule.answered, "get_folio_noalloc was BUSY for 10 seconds for pgoff \(pgoff)")
      }
      host.waitForKick(ticket, nanoseconds: 20_000_000)
    }
  }

  func add(_ pgoff: UInt64, _ count: UInt64 = 1) throws -> Status {
    let status = call("filemap_add") { unsafe Status(table.filemap_add!(pointer, pgoff, count)) }
    guard [.ok, .noMemory, .outOfRange, .gone].contains(status) else {
      throw Breach(Rule.status, "filemap_add answered \(status)")
    }
    try rethrow()
    return status
  }

  func remove(_ pgoff: UInt64, _ count: UInt64 = 1) {
    call("filemap_remove") { unsafe table.filemap_remove!(pointer, pgoff, count) }
  }

  func discard(_ pgoff: UInt64, _ count: UInt64 = 1) {
    call("discard") { unsafe table.discard!(pointer, pgoff, count) }
  }

  // MARK: Planning

  func willNeed(_ pgoff: UInt64, _ count: UInt64) {
    call("will_need") { unsafe table.will_need!(pointer, pgoff, count) }
  }

  /// extents: the elements, and whether bytes of the room outside of them were written.
  func extents(
    _ pgoff: UInt64, _ count: UInt64, capacity: Int, stride: Int
  ) throws -> (status: Status, list: [uffd_extent], spilled: Bool, filled: UInt64) {
    let room = Fence(length: capacity * stride, beyond: HOOK_TRAP_BEYOND_EXTENTS, poison: 0x5a)
    // The elements end where the guard page begins.
    let size = MemoryLayout<uffd_extent>.size
    let length = (capacity * stride + 4095) / 4096 * 4096
    let start = unsafe room.content + (length - capacity * stride)
    let filled = unsafe room.structs.assumingMemoryBound(to: UInt64.self)
    unsafe filled.initialize(to: 0)
    let status = call("extents") {
      unsafe Status(
        table.extents!(
          pointer, pgoff, count, start.assumingMemoryBound(to: uffd_extent.self),
          UInt64(capacity), UInt64(stride), filled))
    }
    let number = unsafe filled.pointee
    var list: [uffd_extent] = []
    var spilled = false
    for index in 0..<min(Int(clamping: number), capacity) {
      let element = unsafe start + index * stride
      list.append(unsafe element.loadUnaligned(as: uffd_extent.self))
      for offset in size..<stride where offset < stride {
        if unsafe element.load(fromByteOffset: offset, as: UInt8.self) != 0x5a { spilled = true }
      }
    }
    room.expire(HOOK_TRAP_PAST_STRUCT)
    guard [.ok, .ioError, .gone].contains(status) || pgoff >= granules else {
      throw Breach(Rule.status, "extents answered \(status)")
    }
    return (status, list, spilled, number)
  }

  // MARK: Writing

  func writeback(_ pgoff: UInt64, _ bytes: Bytes) throws -> Status {
    let room = Fence(length: bytes.count, beyond: HOOK_TRAP_BEYOND_STAGING, poison: 0)
    unsafe room.content.copyMemory(from: bytes.storage, byteCount: bytes.count)
    let status = call("writeback") {
      unsafe Status(
        table.writeback!(
          pointer, pgoff, UInt64(bytes.count) / granule, room.content, UInt64(bytes.count)))
    }
    room.expire(HOOK_TRAP_PAST_STAGING)
    guard [.ok, .noMemory, .ioError, .gone].contains(status) else {
      throw Breach(Rule.status, "writeback answered \(status)")
    }
    return status
  }

  func flush() throws -> Status {
    let status = call("flush") { unsafe Status(table.flush!(pointer)) }
    guard [.ok, .ioError, .gone].contains(status) else {
      throw Breach(Rule.status, "flush answered \(status)")
    }
    return status
  }

  // MARK: Tickets and regions

  /// Any thread, whatever the model.
  func cancel(_ ticket: UInt64) {
    MockInstance.run("cancel") { unsafe table.cancel!(pointer, ticket) }
  }

  /// can_userfault: what it returned, and the reason that it gave.
  func canUserfault(
    _ kind: uffd_memory_kind, _ modes: uffd_modes, _ flags: uffd_region_flags,
    granule: UInt64? = nil
  ) -> (answer: UInt32, reason: String?) {
    let room = Fence(length: 0, beyond: HOOK_TRAP_PAST_STRUCT, poison: 0)
    let query = unsafe room.structs.assumingMemoryBound(to: uffd_region_query.self)
    unsafe query.initialize(
      to: uffd_region_query(
        size: UInt32(MemoryLayout<uffd_region_query>.size), memory_kind: kind, modes: modes,
        granule: granule ?? self.granule, pgoff: 0, count: granules, flags: flags))
    let reason = unsafe (room.structs + 2048).assumingMemoryBound(to: UnsafePointer<CChar>?.self)
    unsafe reason.initialize(to: nil)
    let answer = call("can_userfault") { unsafe table.can_userfault!(pointer, query, reason) }
    let text = unsafe reason.pointee
    room.expire(HOOK_TRAP_PAST_STRUCT)
    return unsafe (answer, text.map { unsafe String(cString: $0) })
  }
}

/// A little longer each time.
func usleepBriefly(_ attempt: Int) { usleep(UInt32(1000 << min(attempt, 6))) }

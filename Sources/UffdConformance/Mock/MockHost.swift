// SPDX-License-Identifier: Apache-2.0
// The host's side of one instance, without a kernel: the services, strictly kept, and what was said through
// them. Services are called on any thread of the provider.
import CHookTrap
import CLinux
import Glibc
import UffdPluginABI

@safe final class MockHost: @unchecked Sendable {
  let handle: UInt64
  let lock = Lock()
  private let page: Fence
  private var arena: [UInt: (fence: Fence, length: Int)] = [:]
  private var errorText: String?
  private var lastTicket: UInt64
  private var kickedTickets: Set<UInt64> = []
  private var breach: Breach?

  /// staging_alloc answers NO_MEMORY while this is set.
  var refusesStaging = false
  /// Kicks are lost while this is set.
  var losesKicks = false
  private(set) var stagingCalls = 0
  private(set) var kicks = 0

  init() {
    page = Fence(length: 0, beyond: HOOK_TRAP_PAST_STRUCT, poison: 0)
    handle = Switchboard.reserve()
    lastTicket = handle & ~0xffff_ffff
    unsafe services.initialize(to: uffd_host())
    unsafe services.pointee.size = UInt32(MemoryLayout<uffd_host>.size)
    unsafe services.pointee.abi = UFFD_ABI
    unsafe services.pointee.instance = handle
    unsafe services.pointee.log = logService
    unsafe services.pointee.report_error = reportService
    unsafe services.pointee.staging_alloc = stagingAllocService
    unsafe services.pointee.staging_free = stagingFreeService
    unsafe services.pointee.kick = kickService
    Switchboard.connect(handle, self)
  }

  /// The table that configure is given.
  var services: UnsafeMutablePointer<uffd_host> {
    unsafe page.structs.assumingMemoryBound(to: uffd_host.self)
  }

  /// After close: the handle names nothing any more, and what was lent to the provider is out of reach.
  func end() {
    Switchboard.disconnect(handle)
    page.expire(HOOK_TRAP_PAST_CLOSE)
    lock.held {
      for (_, buffer) in arena { buffer.fence.expire(HOOK_TRAP_PAST_ARENA) }
      arena = [:]
    }
  }

  func takeErrorText() -> String? {
    lock.held {
      defer { errorText = nil }
      return errorText
    }
  }

  /// Throws the first rule that a service call has broken.
  func rethrow() throws {
    if let found = lock.held({ breach }) { throw found }
  }

  // MARK: Tickets

  /// A name for a question. The upper half is the instance's: a kick that is mixed up is seen.
  func newTicket() -> UInt64 {
    lock.held {
      lastTicket += 1
      return lastTicket
    }
  }

  /// The question has its answer; a kick for it is stale.
  func isAnswered(_ ticket: UInt64) { lock.held { _ = kickedTickets.remove(ticket) } }

  /// Waits until the ticket is kicked, or for the time that a host waits before it asks again anyway.
  func waitForKick(_ ticket: UInt64, nanoseconds: UInt64) {
    let limit = clinux_now() + nanoseconds
    lock.held {
      while !kickedTickets.contains(ticket) {
        let now = clinux_now()
        if now >= limit { return }
        lock.wait(nanoseconds: min(limit - now, 20_000_000))
      }
      kickedTickets.remove(ticket)
    }
  }

  // MARK: Staging

  var stagingInUse: Int { lock.held { arena.count } }

  /// The arena buffer of a STAGED answer changes hands: its content, or nil if it is no such buffer or short.
  func takeBack(_ memory: UnsafeRawPointer, length: Int) -> Bytes? {
    lock.held {
      guard let buffer = arena[UInt(bitPattern: memory)], buffer.length >= length else {
        return nil
      }
      let bytes = unsafe Bytes(memory, length)
      arena[UInt(bitPattern: memory)] = nil
      buffer.fence.expire(HOOK_TRAP_PAST_ARENA)
      return bytes
    }
  }

  fileprivate func report(_ text: String) { lock.held { errorText = text } }

  fileprivate func allocate(_ length: UInt64) -> (uffd_status, UnsafeMutableRawPointer?) {
    unsafe lock.held {
      stagingCalls += 1
      Rule.seen.mark(Rule.arena)
      if let hook = unsafe hook_trap_current(), unsafe strcmp(hook, "get_folio_noalloc") == 0 {
        note(Rule.lookupStaging, "a call of staging_alloc from get_folio_noalloc")
      }
      guard length > 0, length % 4096 == 0, length <= 1 << 34 else { return (.outOfRange, nil) }
      if refusesStaging { return (.noMemory, nil) }
      let fence = Fence(length: Int(length), beyond: HOOK_TRAP_BEYOND_ARENA, poison: 0xc3)
      let memory = unsafe fence.content
      arena[UInt(bitPattern: memory)] = (fence, Int(length))
      return unsafe (.ok, memory)
    }
  }

  fileprivate func free(_ memory: UnsafeMutableRawPointer) {
    lock.held {
      guard let buffer = arena.removeValue(forKey: UInt(bitPattern: memory)) else {
        return note(
          Rule.arena, "staging_free of memory that the instance does not own (or no longer)")
      }
      buffer.fence.expire(HOOK_TRAP_PAST_ARENA)
    }
  }

  fileprivate func kick(_ ticket: UInt64) {
    lock.held {
      kicks += 1
      Rule.seen.mark(Rule.kickKnown)
      guard ticket > handle & ~0xffff_ffff, ticket <= lastTicket else {
        return note(Rule.kickKnown, "a kick for ticket \(ticket), which no question ever had")
      }
      if losesKicks { return }
      kickedTickets.insert(ticket)
      lock.signal()
    }
  }

  /// With the lock held.
  private func note(_ rule: Check, _ came: String) {
    if breach == nil { breach = Breach(rule, came) }
  }
}

/// Handles of instances to their hosts; a handle is never used twice.
enum Switchboard {
  private static let lock = Lock()
  nonisolated(unsafe) private static var hosts: [UInt64: MockHost] = [:]
  nonisolated(unsafe) private static var next: UInt64 = 1
  nonisolated(unsafe) private static var staleCall: String?

  static func reserve() -> UInt64 {
    lock.held {
      unsafe next += 1
      return unsafe next << 32 | 7
    }
  }
  static func connect(_ handle: UInt64, _ host: MockHost) {
    lock.held { unsafe hosts[handle] = host }
  }
  static func disconnect(_ handle: UInt64) { lock.held { unsafe hosts[handle] = nil } }

  static func find(_ handle: UInt64, _ service: String) -> MockHost? {
    lock.held {
      if let host = unsafe hosts[handle] { return host }
      unsafe staleCall = "a call of \(service) with the handle of no open instance"
      return nil
    }
  }

  /// Throws if a service was called with a handle that names nothing.
  static func rethrow() throws {
    let call = lock.held { () -> String? in
      defer { unsafe staleCall = nil }
      return unsafe staleCall
    }
    if let call { throw Breach(Rule.afterClose, call) }
  }
}

private func text(_ start: UnsafePointer<CChar>, _ length: UInt64) -> String {
  let bytes = unsafe UnsafeRawBufferPointer(start: start, count: Int(min(length, 1000)))
  return unsafe String(decoding: bytes, as: UTF8.self)
}

private func logService(
  _ handle: UInt64, _ level: uffd_log_level, _ start: UnsafePointer<CChar>, _ length: UInt64
) {
  // Read, so that a bad pointer is found; what is logged is nobody's business here.
  _ = unsafe text(start, length)
  _ = Switchboard.find(handle, "log")
}

private func reportService(_ handle: UInt64, _ start: UnsafePointer<CChar>, _ length: UInt64) {
  let sentence = unsafe text(start, length)
  Switchboard.find(handle, "report_error")?.report(sentence)
}

private func stagingAllocService(
  _ handle: UInt64, _ length: UInt64, _ memory: UnsafeMutablePointer<UnsafeMutableRawPointer?>
) -> uffd_status {
  unsafe memory.pointee = nil
  guard let host = Switchboard.find(handle, "staging_alloc") else { return .gone }
  let (status, made) = unsafe host.allocate(length)
  unsafe memory.pointee = unsafe made
  return status
}

private func stagingFreeService(_ handle: UInt64, _ memory: UnsafeMutableRawPointer) {
  unsafe Switchboard.find(handle, "staging_free")?.free(memory)
}

private func kickService(_ handle: UInt64, _ ticket: UInt64) {
  Switchboard.find(handle, "kick")?.kick(ticket)
}

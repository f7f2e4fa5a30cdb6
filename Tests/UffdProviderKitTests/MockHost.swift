// SPDX-License-Identifier: Apache-2.0

// A host without a kernel: the services that a provider is given, with everything that it says kept
// for the test to read. Knows nothing of userfaultfd. Any thread.

import Synchronization
import UffdPluginABI

/// The host's side of one instance.
@safe
final class MockHost: @unchecked Sendable {
  struct Heard {
    var log: [(level: uffd_log_level, line: String)] = []
    var errors: [String] = []
    var kicks: [UInt64] = []
    var staging: [UInt: UInt64] = [:]
  }

  // SAFETY: written in init, freed in deinit, which a test reaches after close.
  let services: UnsafeMutablePointer<uffd_host>
  private let handle: UInt64

  init() {
    handle = MockHost.register()
    unsafe services = .allocate(capacity: 1)
    unsafe services.initialize(to: uffd_host())
    unsafe services.pointee.size = UInt32(MemoryLayout<uffd_host>.size)
    unsafe services.pointee.abi = UFFD_ABI
    unsafe services.pointee.instance = handle
    unsafe services.pointee.log = logService
    unsafe services.pointee.report_error = reportService
    unsafe services.pointee.staging_alloc = stagingAllocService
    unsafe services.pointee.staging_free = stagingFreeService
    unsafe services.pointee.kick = kickService
  }

  deinit {
    unsafe services.deallocate()
    _ = everything.withLock { $0.removeValue(forKey: handle) }
  }

  /// What the provider has said to this host so far.
  var heard: Heard { everything.withLock { $0[handle] ?? Heard() } }

  /// The last sentence of `report_error`.
  var lastError: String? { heard.errors.last }

  private static func register() -> UInt64 {
    everything.withLock { all in
      let handle = (all.keys.max() ?? 0) + 1
      all[handle] = Heard()
      return handle
    }
  }
}

/// By instance handle: a C service knows its host by nothing else.
private let everything = Mutex<[UInt64: MockHost.Heard]>([:])

private func change(_ handle: UInt64, _ body: (inout MockHost.Heard) -> Void) {
  everything.withLock { all in
    guard all[handle] != nil else { return }
    body(&all[handle]!)
  }
}

private func string(_ text: UnsafePointer<CChar>, _ length: UInt64) -> String {
  let bytes = unsafe UnsafeRawBufferPointer(start: text, count: Int(length))
  return unsafe String(decoding: bytes, as: UTF8.self)
}

private func logService(
  _ handle: UInt64, _ level: uffd_log_level, _ text: UnsafePointer<CChar>, _ length: UInt64
) {
  let line = unsafe string(text, length)
  change(handle) { $0.log.append((level, line)) }
}

private func reportService(_ handle: UInt64, _ text: UnsafePointer<CChar>, _ length: UInt64) {
  let line = unsafe string(text, length)
  change(handle) { $0.errors.append(line) }
}

private func stagingAllocService(
  _ handle: UInt64, _ length: UInt64, _ memory: UnsafeMutablePointer<UnsafeMutableRawPointer?>
) -> uffd_status {
  guard length > 0, length % 4096 == 0 else { return .outOfRange }
  let made = UnsafeMutableRawPointer.allocate(byteCount: Int(length), alignment: 4096)
  unsafe memory.pointee = unsafe made
  change(handle) { $0.staging[UInt(bitPattern: made)] = length }
  return .ok
}

private func stagingFreeService(_ handle: UInt64, _ memory: UnsafeMutableRawPointer) {
  change(handle) { $0.staging[UInt(bitPattern: memory)] = nil }
  unsafe memory.deallocate()
}

private func kickService(_ handle: UInt64, _ ticket: UInt64) {
  change(handle) { $0.kicks.append(ticket) }
}

// SPDX-License-Identifier: Apache-2.0
// The services a provider may call (`uffd_host`): found by a generation-checked handle, from any thread.
import Synchronization
import UffdPluginABI

/// What an instance does for its provider. Called from any thread of the provider.
protocol ServiceReceiver: AnyObject, Sendable {
  func log(_ level: LogLevel, _ text: String)
  func reportError(_ text: String)
  func allocateStaging(_ length: UInt64) -> (status: uffd_status, memory: UnsafeMutableRawPointer?)
  func freeStaging(_ memory: UnsafeMutableRawPointer)
  func kick(_ ticket: UInt64)
}

/// All instances that may call services, by handle: generation in the upper half, index in the lower. A
/// handle of a closed instance names nothing, for ever.
enum ServiceRegistry {
  private struct Entry {
    var generation: UInt32 = 1
    var receiver: (any ServiceReceiver)?
  }
  private static let entries = Mutex<[Entry]>([])

  static func add(_ receiver: any ServiceReceiver) -> UInt64 {
    entries.withLock { entries in
      let index =
        entries.firstIndex { $0.receiver == nil }
        ?? {
          entries.append(Entry())
          return entries.count - 1
        }()
      entries[index].receiver = receiver
      return UInt64(entries[index].generation) << 32 | UInt64(index)
    }
  }

  static func remove(_ handle: UInt64) {
    entries.withLock { entries in
      let index = Int(handle & 0xffff_ffff)
      guard index < entries.count, entries[index].generation == UInt32(handle >> 32) else { return }
      entries[index].receiver = nil
      entries[index].generation &+= 1
    }
  }

  static func find(_ handle: UInt64) -> (any ServiceReceiver)? {
    entries.withLock { entries in
      let index = Int(handle & 0xffff_ffff)
      guard index < entries.count, entries[index].generation == UInt32(handle >> 32) else {
        return nil
      }
      return entries[index].receiver
    }
  }

  /// The table for one instance; `handle` is from `add`. The caller keeps it until close has returned.
  static func table(_ handle: UInt64) -> uffd_host {
    var table = uffd_host()
    table.size = UInt32(MemoryLayout<uffd_host>.size)
    table.abi = UFFD_ABI
    table.instance = handle
    unsafe table.log = { handle, level, text, length in
      let text = unsafe ServiceRegistry.text(text, length)
      ServiceRegistry.find(handle)?.log(LogLevel(level), text)
    }
    unsafe table.report_error = { handle, text, length in
      let text = unsafe ServiceRegistry.text(text, length)
      ServiceRegistry.find(handle)?.reportError(text)
    }
    unsafe table.staging_alloc = { handle, length, memory in
      unsafe memory.pointee = nil
      guard let receiver = ServiceRegistry.find(handle) else { return .gone }
      let answer = unsafe receiver.allocateStaging(length)
      unsafe memory.pointee = unsafe answer.memory
      return unsafe answer.status
    }
    unsafe table.staging_free = { handle, memory in
      unsafe ServiceRegistry.find(handle)?.freeStaging(memory)
    }
    table.kick = { handle, ticket in
      ServiceRegistry.find(handle)?.kick(ticket)
    }
    return table
  }

  /// A provider's text: at most 1,000 bytes, one line, whatever it sent.
  private static func text(_ bytes: UnsafePointer<CChar>, _ length: UInt64) -> String {
    let buffer = unsafe UnsafeRawBufferPointer(start: bytes, count: Int(min(length, 1000)))
    let text = unsafe String(decoding: buffer, as: UTF8.self)
    return String(text.map { $0.isNewline ? " " : $0 })
  }
}

extension LogLevel {
  init(_ raw: uffd_log_level) {
    switch raw {
    case .error: self = .error
    case .warning: self = .warning
    case .debug: self = .debug
    default: self = .info
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// What a provider may call: staging with its cap, and handles that a closed instance leaves behind.

import Glibc
import Synchronization
import Testing
import UffdPluginABI

@testable import UffdHost

@Suite("Staging")
struct StagingArenaTests {
  @Test("buffers are large enough, page aligned, zero at first and writable to the end")
  func sizes() throws {
    let arena = StagingArena(cap: 1 << 30)
    for length in [1, 4095, 4096, 4097, 8192, 12288, 65537, 2 << 20, (2 << 20) + 1] as [UInt64] {
      let memory = unsafe try #require(arena.allocate(length))
      #expect(UInt(bitPattern: memory) % 4096 == 0)
      let size = unsafe try #require(arena.size(of: memory))
      #expect(size >= length)
      unsafe memset(memory, 0xff, Int(size))
      #expect(unsafe arena.free(memory))
    }
    #expect(arena.buffersInUse == 0)
  }

  @Test("what is no size: 0, and more than an address space")
  func noSizes() {
    let arena = StagingArena(cap: .max)
    #expect(unsafe arena.allocate(0) == nil)
    #expect(unsafe arena.allocate(.max) == nil)
    #expect(unsafe arena.allocate(1 << 41) == nil)
  }

  @Test("the cap counts what is mapped; a freed buffer of the size is used again")
  func cap() throws {
    let arena = StagingArena(cap: 16384)
    let first = unsafe try #require(arena.allocate(8192))
    let second = unsafe try #require(arena.allocate(8192))
    #expect(unsafe first != second)
    #expect(unsafe arena.allocate(1) == nil)
    #expect(arena.buffersInUse == 2)
    #expect(unsafe arena.free(first))
    #expect(unsafe arena.allocate(5000) == first)
    #expect(unsafe arena.allocate(5000) == nil)
  }

  @Test("only what was handed out can be freed, and once")
  func frees() throws {
    let arena = StagingArena(cap: 1 << 20)
    let memory = unsafe try #require(arena.allocate(4096))
    #expect(unsafe !arena.free(memory + 1))
    #expect(unsafe !arena.free(UnsafeMutableRawPointer(bitPattern: 0x1000)!))
    #expect(unsafe arena.size(of: memory + 16) == nil)
    #expect(unsafe arena.free(memory))
    #expect(unsafe !arena.free(memory))
    #expect(unsafe arena.size(of: memory) == nil)
  }

  @Test("several threads")
  func threads() throws {
    let arena = StagingArena(cap: 64 << 20)
    try onThreads(4) { thread in
      for round in 0..<2000 {
        guard let memory = unsafe arena.allocate(UInt64(4096 << (round % 3))) else { continue }
        unsafe memory.storeBytes(of: thread, as: Int.self)
        sched_yield()
        let mine = unsafe memory.load(as: Int.self) == thread
        if unsafe !(mine && arena.free(memory)) { abort() }
      }
    }
    #expect(arena.buffersInUse == 0)
  }
}

private final class Receiver: ServiceReceiver {
  let seen = Mutex<[String]>([])
  func log(_ level: LogLevel, _ text: String) { seen.withLock { $0.append("\(level) \(text)") } }
  func reportError(_ text: String) { seen.withLock { $0.append("report \(text)") } }
  func allocateStaging(_ length: UInt64) -> (
    status: uffd_status, memory: UnsafeMutableRawPointer?
  ) {
    unsafe (.ok, UnsafeMutableRawPointer(bitPattern: UInt(length)))
  }
  func freeStaging(_ memory: UnsafeMutableRawPointer) {
    let number = UInt(bitPattern: memory)
    seen.withLock { $0.append("free \(number)") }
  }
  func kick(_ ticket: UInt64) { seen.withLock { $0.append("kick \(ticket)") } }
}

@Suite("Services")
struct ServiceRegistryTests {
  private func say(
    _ call: (UInt64, UnsafePointer<CChar>, UInt64) -> Void, _ handle: UInt64, _ text: String
  ) {
    let bytes = text.utf8.map { CChar(bitPattern: $0) }
    unsafe bytes.withUnsafeBufferPointer { buffer in
      unsafe call(handle, buffer.baseAddress!, UInt64(buffer.count))
    }
  }

  @Test("each service reaches its instance")
  func services() {
    let receiver = Receiver()
    let handle = ServiceRegistry.add(receiver)
    let table = ServiceRegistry.table(handle)
    #expect(table.size == 56 && table.abi == UFFD_ABI && table.instance == handle)
    unsafe say({ unsafe table.log!($0, .warning, $1, $2) }, handle, "two\nlines")
    unsafe say({ unsafe table.log!($0, uffd_log_level(rawValue: 7)!, $1, $2) }, handle, "odd level")
    unsafe say(
      { unsafe table.report_error!($0, $1, $2) }, handle, String(repeating: "x", count: 5000))
    var memory: UnsafeMutableRawPointer?
    #expect(unsafe table.staging_alloc!(handle, 4096, &memory) == .ok)
    #expect(UInt(bitPattern: memory) == 4096)
    unsafe table.staging_free!(handle, memory!)
    table.kick!(handle, 77)
    #expect(
      receiver.seen.withLock { $0 } == [
        "warning two lines", "info odd level", "report " + String(repeating: "x", count: 1000),
        "free 4096", "kick 77",
      ])
    ServiceRegistry.remove(handle)
  }

  @Test("a handle of a closed instance does nothing, also when its place has a new owner")
  func stale() {
    let old = Receiver()
    let handle = ServiceRegistry.add(old)
    let table = ServiceRegistry.table(handle)
    ServiceRegistry.remove(handle)
    // The place may be taken again, by somebody else.
    let others = (0..<8).map { _ in Receiver() }
    let handles = others.map { ServiceRegistry.add($0) }
    #expect(!handles.contains(handle))
    unsafe say({ unsafe table.log!($0, .error, $1, $2) }, handle, "late")
    unsafe say({ unsafe table.report_error!($0, $1, $2) }, handle, "late")
    table.kick!(handle, 1)
    var memory = unsafe UnsafeMutableRawPointer(bitPattern: 1)
    #expect(unsafe table.staging_alloc!(handle, 4096, &memory) == .gone)
    #expect(unsafe memory == nil)
    unsafe table.staging_free!(handle, UnsafeMutableRawPointer(bitPattern: 4096)!)
    // Removing twice must not remove the new owner.
    ServiceRegistry.remove(handle)
    for (index, other) in others.enumerated() {
      #expect(other.seen.withLock { $0.isEmpty })
      #expect(ServiceRegistry.find(handles[index]) === other)
      ServiceRegistry.remove(handles[index])
    }
    #expect(old.seen.withLock { $0.isEmpty })
  }

  @Test("handles that never were", arguments: [0, 1, .max, 1 << 32 | 0xffff_fff0] as [UInt64])
  func never(_ handle: UInt64) {
    if handle >> 32 != 1 { #expect(ServiceRegistry.find(handle) == nil) }
    ServiceRegistry.remove(handle | 0xffff_fff0)
    #expect(ServiceRegistry.find(handle | 0xffff_fff0) == nil)
  }
}

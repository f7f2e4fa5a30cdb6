// SPDX-License-Identifier: Apache-2.0
// Page-aligned buffers for content on its way: for workers, and for providers that answer later.
import Synchronization

/// Buffers of one size class each, kept for reuse. Any thread. Not on the fault path of a provider that
/// answers at once: a reader has a buffer of its own.
final class StagingArena: Sendable {
  private struct State {
    var free: [UInt64: [Mapping]] = [:]
    var used: [UInt64: (mapping: Mapping, size: UInt64)] = [:]
    var total: UInt64 = 0
  }
  private let state = Mutex(State())
  /// Bytes that may be mapped at once, free ones included.
  private let cap: UInt64

  init(cap: UInt64) { self.cap = cap }

  /// A buffer of at least `length` bytes, or nil: the cap is reached or the kernel has no memory.
  func allocate(_ length: UInt64) -> UnsafeMutableRawPointer? {
    guard length > 0, length <= 1 << 40 else { return nil }
    var size: UInt64 = 4096
    while size < length { size *= 2 }
    let mapping: Mapping? = state.withLock { state in
      if let ready = state.free[size]?.popLast() {
        state.used[ready.address] = (ready, size)
        return ready
      }
      if state.total + size > cap {
        // Make room from other size classes before saying no.
        for (other, buffers) in state.free { state.total -= other * UInt64(buffers.count) }
        state.free = [:]
      }
      guard state.total + size <= cap, let fresh = try? Mapping.scratch(size) else { return nil }
      state.total += size
      state.used[fresh.address] = (fresh, size)
      return fresh
    }
    return unsafe mapping?.base
  }

  /// Takes a buffer back; false if it is none of ours (or was freed before).
  @discardableResult
  func free(_ memory: UnsafeMutableRawPointer) -> Bool {
    state.withLock { state in
      guard let entry = state.used.removeValue(forKey: UInt64(UInt(bitPattern: memory))) else {
        return false
      }
      state.free[entry.size, default: []].append(entry.mapping)
      return true
    }
  }

  /// The size of the buffer that begins at `memory`, or nil: not one of ours.
  func size(of memory: UnsafeRawPointer) -> UInt64? {
    state.withLock { $0.used[UInt64(UInt(bitPattern: memory))]?.size }
  }

  /// Buffers handed out and not yet back.
  var buffersInUse: Int { state.withLock { $0.used.count } }
}

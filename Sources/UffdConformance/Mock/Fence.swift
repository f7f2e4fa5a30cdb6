// SPDX-License-Identifier: Apache-2.0
// Memory that a provider is given for a while. An inaccessible page lies behind it, and all of it becomes
// inaccessible when the while is over, so that a late or stray access is a trap and says what it was.
import CHookTrap
import Glibc

/// One mapping: a page for structs, then `length` bytes for content, then a page that nobody may touch.
/// Owned by one call of a hook, on any thread.
@safe final class Fence {
  private let base: UnsafeMutableRawPointer
  private let total: Int
  private let length: Int
  private var slots: [Int32] = []
  static let pageSize = 4096

  /// The first page: request, folio, traits, parameters.
  var structs: UnsafeMutableRawPointer { unsafe base }
  /// The content: `length` bytes, page-aligned.
  var content: UnsafeMutableRawPointer { unsafe base + Fence.pageSize }

  /// `poison` fills the content.
  init(length: Int, beyond: hook_trap_fence, poison: UInt8) {
    let rounded = (length + Fence.pageSize - 1) / Fence.pageSize * Fence.pageSize
    total = rounded + 2 * Fence.pageSize
    self.length = rounded
    let memory = unsafe mmap(
      nil, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | Int32(MAP_ANONYMOUS), -1, 0)
    guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
      fatalError("no memory for the staging of a check; stop other programs")
    }
    unsafe base = unsafe memory
    let guardPage = unsafe base + total - Fence.pageSize
    unsafe mprotect(guardPage, Fence.pageSize, PROT_NONE)
    slots.append(unsafe hook_trap_fence(guardPage, UInt64(Fence.pageSize), Int32(beyond.rawValue)))
    if rounded > 0 { unsafe memset(content, Int32(poison), rounded) }
  }

  /// The while is over.
  func expire(_ past: hook_trap_fence) {
    let structs = past == HOOK_TRAP_PAST_CLOSE ? past : HOOK_TRAP_PAST_STRUCT
    unsafe madvise(base, total, MADV_DONTNEED)
    unsafe mprotect(base, total, PROT_NONE)
    slots.append(
      unsafe hook_trap_fence(base, UInt64(Fence.pageSize), Int32(structs.rawValue)))
    slots.append(unsafe hook_trap_fence(content, UInt64(length), Int32(past.rawValue)))
    Fence.retired.keep(self)
  }

  deinit {
    for slot in slots { hook_trap_unfence(slot) }
    unsafe munmap(base, total)
  }

  /// Keeps expired mappings for a time, so that their addresses are nobody else's. Then they go.
  static let retired = Retired()

  @safe final class Retired: @unchecked Sendable {
    private let lock = Lock()
    private var ring: [Fence?] = Array(repeating: nil, count: 512)
    private var next = 0

    func keep(_ fence: Fence) {
      let old = lock.held { () -> Fence? in
        defer {
          ring[next] = fence
          next = (next + 1) % ring.count
        }
        return ring[next]
      }
      _ = old
    }

    /// Before memory is measured.
    func empty() { lock.held { ring = Array(repeating: nil, count: ring.count) } }
  }
}

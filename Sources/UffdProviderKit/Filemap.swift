// SPDX-License-Identifier: Apache-2.0

// The index of which granules a backing holds, with its accounting. Any number of threads may use it
// at once; no call allocates, locks or waits.

internal import CLinux

/// One bit per granule, and how many are set. The accounting never exceeds the limit, not even for a
/// moment: granules are reserved before their bits are set.
@safe
public final class Filemap: @unchecked Sendable {
  /// What became of granules that were to be added.
  public enum Addition {
    case added
    /// All of them are in the filemap now, but so many were there before: a bug of the host.
    case alreadyThere(UInt64)
    /// The limit would be exceeded; none was added.
    case limitReached
    /// Beyond the object; none was added.
    case outOfRange
  }

  /// The size of the object.
  public let granules: UInt64
  /// How many granules may be accounted.
  public let limit: UInt64

  // SAFETY: one mapping, made in init, unmapped in deinit. Its words are only touched atomically.
  private let memory: UnsafeMutableRawPointer
  private let counter: UnsafeMutablePointer<UInt64>
  private let words: UnsafeMutablePointer<UInt64>
  private let length: UInt64

  /// The counter has cache lines of its own: it changes with every call, the words do not.
  private static let headerLength: UInt64 = 128

  public init(granules: UInt64, limit: UInt64? = nil) throws(ProviderError) {
    self.granules = granules
    self.limit = limit ?? granules
    length = Filemap.headerLength + (granules + 63) / 64 * 8
    unsafe memory = try unsafe PrivateMemory.map(length)
    unsafe counter = unsafe memory.assumingMemoryBound(to: UInt64.self)
    unsafe words = unsafe (memory + Int(Filemap.headerLength))
      .assumingMemoryBound(to: UInt64.self)
  }

  deinit {
    unsafe PrivateMemory.unmap(memory, length)
  }

  /// How many granules the filemap holds.
  public var accounted: UInt64 { unsafe clinux_load_acquire(counter) }

  public func contains(_ pgoff: UInt64) -> Bool {
    guard pgoff < granules else { return false }
    return unsafe clinux_load_acquire(words + Int(pgoff / 64)) & (1 << (pgoff % 64)) != 0
  }

  /// Adds all of the granules, or none.
  public func add(pgoff: UInt64, count: UInt64) -> Addition {
    guard isInside(pgoff, count) else { return .outOfRange }
    guard reserve(count) else { return .limitReached }
    var already: UInt64 = 0
    var next = pgoff
    let end = pgoff &+ count
    while next < end {
      let mask = Filemap.mask(from: next, to: end)
      let before = unsafe clinux_fetch_or(words + Int(next / 64), mask)
      already = already &+ UInt64((before & mask).nonzeroBitCount)
      next = (next / 64 &+ 1) &* 64
    }
    guard already > 0 else { return .added }
    release(already)
    return .alreadyThere(already)
  }

  /// Removes the granules. Answers how many of them were there.
  public func remove(pgoff: UInt64, count: UInt64) -> UInt64 {
    guard isInside(pgoff, count) else { return 0 }
    var removed: UInt64 = 0
    var next = pgoff
    let end = pgoff &+ count
    while next < end {
      let mask = Filemap.mask(from: next, to: end)
      let before = unsafe clinux_fetch_and(words + Int(next / 64), ~mask)
      removed = removed &+ UInt64((before & mask).nonzeroBitCount)
      next = (next / 64 &+ 1) &* 64
    }
    release(removed)
    return removed
  }

  private func isInside(_ pgoff: UInt64, _ count: UInt64) -> Bool {
    count > 0 && pgoff < granules && count <= granules &- pgoff
  }

  private func reserve(_ count: UInt64) -> Bool {
    var current = unsafe clinux_load_relaxed(counter)
    while true {
      guard current <= limit, count <= limit &- current else { return false }
      // On failure `current` becomes what another thread has made of the counter.
      if unsafe clinux_compare_exchange(counter, &current, current &+ count) != 0 { return true }
    }
  }

  private func release(_ count: UInt64) {
    _ = unsafe clinux_fetch_add(counter, 0 &- count)
  }

  /// The bits of the word of `next` that stand for granules in `next ..< end`.
  private static func mask(from next: UInt64, to end: UInt64) -> UInt64 {
    let first = next % 64
    let count = min(64 &- first, end &- next)
    return (UInt64.max >> (64 &- count)) << first
  }
}

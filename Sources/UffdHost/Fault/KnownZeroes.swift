// SPDX-License-Identifier: Apache-2.0
// Which granules of an object are known to be zero: the provider says so once (`extents`), on a worker, and
// a fault there is answered without asking it. Where it has not said anything yet, it is asked.
import Synchronization
import UffdPluginABI

/// A bit for each granule. Any thread may look; one worker at a time writes.
@safe struct ZeroBits: @unchecked Sendable {
  private let words: UnsafeMutablePointer<UInt64>

  /// Bytes of zeroed memory that `count` granules need.
  static func bytes(for count: UInt64) -> UInt64 { count / 64 * 8 + 8 }

  /// `memory` holds `bytes(for:)` zero bytes and outlives the view.
  init(_ memory: UnsafeMutableRawPointer) {
    unsafe words = memory.assumingMemoryBound(to: UInt64.self)
  }

  @inline(__always)
  func contains(_ pgoff: UInt64) -> Bool {
    unsafe AtomicWord(words + Int(pgoff / 64)).relaxed >> (pgoff % 64) & 1 == 1
  }

  /// Granules from `first` on, before `end`, of which nothing is known.
  func unknown(from first: UInt64, before end: UInt64) -> UInt64 {
    var next = first
    while next < end, !contains(next) {
      let isNone = unsafe next % 64 == 0 && AtomicWord(words + Int(next / 64)).relaxed == 0
      next += isNone ? 64 : 1
    }
    return min(next, end) - first
  }

  /// Granules from `first` on, before `end`, that are known to be zero.
  func known(from first: UInt64, before end: UInt64) -> UInt64 {
    var next = first
    while next < end, contains(next) {
      let isWhole = unsafe next % 64 == 0 && AtomicWord(words + Int(next / 64)).relaxed == .max
      next += isWhole ? 64 : 1
    }
    return min(next, end) - first
  }

  func set(_ range: Range<UInt64>) {
    var next = range.lowerBound
    while next < range.upperBound {
      let offset = next % 64
      let length = min(64 - offset, range.upperBound - next)
      let word = unsafe AtomicWord(words + Int(next / 64))
      word.relaxed |= (UInt64.max >> (64 - length)) << offset
      next += length
    }
  }
}

/// Asks an instance for the extents of its object, from the start to the end, a bounded step at a time.
@safe final class ZeroScan: @unchecked Sendable {
  let instance: UnsafeMutablePointer<InstanceRecord>
  private let bits: ZeroBits
  private let callsInStep: Int
  private let isCancelled = Atomic<Bool>(false)
  /// The first step is done.
  let begun = Completion()
  // The worker's own: a step begins when the one before has ended.
  private var next: UInt64 = 0
  private var hasBegun = false
  private var callsLeft = 1 << 20
  private static let capacity = 256
  private static let promptCalls = 64

  init(_ instance: UnsafeMutablePointer<InstanceRecord>, _ bits: ZeroBits, mayBlock: Bool) {
    unsafe self.instance = unsafe instance
    self.bits = bits
    callsInStep = mayBlock ? 1 : Self.promptCalls
  }

  /// Gives the next step to the workers, behind whatever faults need of them.
  func submit() { unsafe instance.submit(.scan(self), .background) }
  func cancel() { isCancelled.store(true, ordering: .relaxed) }

  /// One step, on a worker. True: there is more to do.
  func step() -> Bool {
    defer {
      if !hasBegun { begun.signal() }
      hasBegun = true
    }
    return unsafe withUnsafeTemporaryAllocation(of: uffd_extent.self, capacity: Self.capacity) {
      room in
      for _ in 0..<callsInStep {
        if isCancelled.load(ordering: .relaxed) || callsLeft == 0 { return false }
        callsLeft -= 1
        guard unsafe ask(room) else { return false }
      }
      return true
    }
  }

  /// One call. False: nothing more is to be had.
  private func ask(_ room: UnsafeMutableBufferPointer<uffd_extent>) -> Bool {
    let end = unsafe instance.pointee.count
    var filled: UInt64 = 0
    let status = unsafe instance.pointee.extents!(
      instance.pointee.contentHandle, next, end - next, room.baseAddress!, UInt64(room.count),
      UInt64(MemoryLayout<uffd_extent>.stride), &filled)
    switch status {
    case .ok: break
    case .absent, .busy, .outOfRange, .noMemory, .ioError, .gone: return false
    default: return broken(.unknownExtentsStatus)
    }
    guard filled > 0, filled <= UInt64(room.count) else { return broken(.badExtents) }
    for index in 0..<Int(filled) {
      let extent = unsafe room[index]
      guard extent.pgoff == next, extent.count > 0, extent.count <= end - next else {
        return broken(.badExtents)
      }
      next += extent.count
      if extent.is_zero == 1 { bits.set(extent.pgoff..<next) }
    }
    return next < end
  }

  private func broken(_ violation: Violation) -> Bool {
    if unsafe instance.markBroken() {
      unsafe Reporter(instance.pointee.owner.host.options.log).violation(instance, violation)
    }
    return false
  }
}

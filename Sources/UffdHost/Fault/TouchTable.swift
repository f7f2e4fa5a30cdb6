// SPDX-License-Identifier: Apache-2.0
// When each granule of an object was first touched: what a recording is
// made of. Written on the fault path by any reader, with one relaxed store for each first touch; whoever
// wants the recording looks at it meanwhile.

/// A word for each granule: 0, or the moment of its first fault in nanoseconds of CLOCK_MONOTONIC. In
/// memory that costs nothing where nobody touches anything.
@safe struct TouchTable: @unchecked Sendable {
  private let words: UnsafeMutablePointer<UInt64>
  let count: UInt64

  static func bytes(for count: UInt64) -> UInt64 { count * 8 }

  /// `memory` holds `bytes(for: count)` zero bytes and outlives the table.
  init(_ memory: UnsafeMutableRawPointer, count: UInt64) {
    unsafe words = memory.assumingMemoryBound(to: UInt64.self)
    self.count = count
  }

  /// Notes a touch. Of two readers that note the same page at once one wins: both moments are right.
  @inline(__always)
  func note(_ pgoff: UInt64, at moment: UInt64) {
    guard pgoff < count else { return }
    let word = unsafe AtomicWord(words + Int(pgoff))
    if word.relaxed == 0 { word.relaxed = moment }
  }

  /// Nil: it was not touched.
  func moment(_ pgoff: UInt64) -> UInt64? {
    let moment = unsafe AtomicWord(words + Int(pgoff)).relaxed
    return moment == 0 ? nil : moment
  }
}

/// The moments of one batch of messages: the clock is read once, when the first touch of it is noted, and
/// the order of the messages is kept.
struct BatchMoment {
  private var last: UInt64 = 0

  @inline(__always)
  mutating func next() -> UInt64 {
    last = last == 0 ? monotonicNanoseconds() : last &+ 1
    return last
  }
}

// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// What of all that nobody waits for is filled first.
package enum FillUrgency: Int, Sendable {
  /// What is known to be touched soon.
  case listed
  /// Everything else.
  case rest
}

/// Granules that are being filled before anybody touches them. Any thread may ask how far it is.
///
/// A prefetch is a hint. Faults are always served first; a granule that cannot be had is left alone, and
/// whoever touches it learns what is wrong; what was given back meanwhile stays given back.
public final class Prefetch: Sendable {
  /// How far it is, in granules.
  public struct Progress: Sendable, Equatable {
    /// What was asked for.
    public var total: UInt64 = 0
    /// Filled by the prefetch.
    public var filled: UInt64 = 0
    /// Needed nothing: somebody had touched it, or given it back.
    public var present: UInt64 = 0
    /// Could not be had, or was being filled by a fault: left to whoever touches it.
    public var left: UInt64 = 0
    /// Nothing more will happen.
    public var isFinished = false
    public init() {}
    public var done: UInt64 { min(total, filled + present + left) }
  }

  let urgency: FillUrgency
  private let total: Atomic<UInt64>
  /// In nanoseconds of CLOCK_MONOTONIC.
  let begun: UInt64
  private let answered = Atomic<UInt64>(0)
  private let present = Atomic<UInt64>(0)
  private let left = Atomic<UInt64>(0)
  private let ended = Atomic<UInt64>(0)
  /// Parts of it that are still under way: one for each reader.
  private let parts: Atomic<Int>
  private let finished = Completion()

  init(total: UInt64, parts: Int, _ urgency: FillUrgency = .listed) {
    self.urgency = urgency
    self.total = Atomic(total)
    self.parts = Atomic(parts)
    begun = monotonicNanoseconds()
    if parts == 0 { finish() }
  }

  public var progress: Progress {
    var progress = Progress()
    progress.total = total.load(ordering: .relaxed)
    progress.present = present.load(ordering: .relaxed)
    progress.left = left.load(ordering: .relaxed)
    let answered = answered.load(ordering: .relaxed)
    progress.filled = answered - min(answered, progress.left)
    progress.isFinished = parts.load(ordering: .acquiring) == 0
    return progress
  }

  /// From the beginning to the end, or until now.
  public var elapsedNanoseconds: UInt64 {
    let end = ended.load(ordering: .relaxed)
    return (end == 0 ? monotonicNanoseconds() : end) - begun
  }

  /// Waits for the end: everything was looked at, or its region was detached or its client has ended.
  public func wait() {
    finished.wait()
    // For the next one that waits.
    finished.signal()
  }

  // MARK: For readers

  /// Before anything is filled: there is so much of it.
  func expect(_ granules: UInt64) { total.store(granules, ordering: .relaxed) }
  /// Looked at, and nothing was to be done.
  func skip(_ granules: UInt64) { present.add(granules, ordering: .relaxed) }
  /// Asked for and settled, filled or not.
  func answer(_ granules: UInt64) { answered.add(granules, ordering: .relaxed) }
  /// Of those that are or will be settled: not filled.
  func leave(_ granules: UInt64) { left.add(granules, ordering: .relaxed) }

  /// One part has ended. Exactly once for each.
  func endPart() {
    if parts.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { finish() }
  }

  private func finish() {
    ended.store(monotonicNanoseconds(), ordering: .relaxed)
    finished.signal()
  }
}

/// Ranges of granules in the one form that a prefetch takes: ascending, apart, inside a window.
func normalized(_ granules: [Range<UInt64>], in window: Range<UInt64>) -> [Range<UInt64>] {
  var ranges: [Range<UInt64>] = []
  for range in granules.sorted(by: { $0.lowerBound < $1.lowerBound }) {
    let range = range.clamped(to: window)
    if range.isEmpty { continue }
    if let last = ranges.last, range.lowerBound <= last.upperBound {
      ranges[ranges.count - 1] =
        last.lowerBound..<max(last.upperBound, range.upperBound)
    } else {
      ranges.append(range)
    }
  }
  return ranges
}

/// The same ranges in `parts` parts of about as many granules each, or fewer.
func divided(_ ranges: [Range<UInt64>], parts: Int) -> [[Range<UInt64>]] {
  let total = granules(of: ranges)
  let share = max(1, (total + UInt64(parts) - 1) / UInt64(parts))
  var result: [[Range<UInt64>]] = []
  var room: UInt64 = 0
  for range in ranges {
    var rest = range
    while !rest.isEmpty {
      if room == 0 {
        result.append([])
        room = share
      }
      let taken = min(room, rest.upperBound - rest.lowerBound)
      result[result.count - 1].append(rest.lowerBound..<(rest.lowerBound + taken))
      rest = (rest.lowerBound + taken)..<rest.upperBound
      room -= taken
    }
  }
  return result
}

/// How many granules there are in ranges that do not overlap.
func granules(of ranges: [Range<UInt64>]) -> UInt64 {
  ranges.reduce(0) { $0 + ($1.upperBound - $1.lowerBound) }
}

/// What of ascending ranges lies in a window.
func clipped(_ ranges: [Range<UInt64>], to window: Range<UInt64>) -> [Range<UInt64>] {
  var low = 0
  var high = ranges.count
  while low < high {
    let middle = (low + high) / 2
    if ranges[middle].upperBound <= window.lowerBound { low = middle + 1 } else { high = middle }
  }
  var result: [Range<UInt64>] = []
  while low < ranges.count, ranges[low].lowerBound < window.upperBound {
    result.append(ranges[low].clamped(to: window))
    low += 1
  }
  return result
}

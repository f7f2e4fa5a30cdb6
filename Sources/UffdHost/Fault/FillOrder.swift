// SPDX-License-Identifier: Apache-2.0
// A background fill: every page of a region (drain), of a backing
// without any region (publish), or the pages of a list, of which nobody knows yet whether anybody will
// touch them (prefetch).
import Synchronization

/// Pages that a reader fills between faults, in bounded pieces. Created by the control thread, worked on by
/// one reader, waited for by the control thread.
@safe final class FillOrder: @unchecked Sendable {
  /// Nil: the backing alone.
  let region: UnsafeMutablePointer<RegionRecord>?
  let instance: UnsafeMutablePointer<InstanceRecord>
  let backing: UnsafeMutablePointer<BackingRecord>?
  /// Of whom it is a part; nil: these pages must be filled.
  let prefetch: Prefetch?
  /// What holds a prefetch back; nil: nothing does.
  let pace: FillPace?
  /// That part ends with it.
  private let isWhole: Bool
  /// Gets the provider's source ready ahead of it.
  let preparation: Preparation?
  /// Ascending, apart.
  private let ranges: [Range<UInt64>]
  private var place = 0
  /// Where it gets more from; nil: it has it all.
  private var shares: FillShares?
  /// The next granule to fill, and the end of its range.
  private(set) var next: UInt64
  private(set) var end: UInt64
  /// Every how manieth granule is filled.
  let stride: UInt64
  /// Questions of this order that are still open, and how many there may be.
  var open = 0
  let mostOpen: Int
  /// Granules that could not be filled.
  var failed: UInt64 = 0
  /// Its region went away before it was done.
  private(set) var isDropped = false
  let done = Completion()
  /// When it began, in nanoseconds of CLOCK_MONOTONIC.
  let began = monotonicNanoseconds()
  /// Every granule was asked for.
  var isExhausted: Bool { next >= end && place >= ranges.count }
  /// Nothing of it is left to do.
  var isDone: Bool { isExhausted && open == 0 }
  /// Another piece can be asked for, if its rate allows it.
  var canGoOn: Bool {
    !isExhausted && open < mostOpen && (preparation?.isReady(next) ?? true)
  }
  /// What is waited for comes first, then the smaller number.
  var rank: Int { prefetch.map { $0.urgency.rawValue + 1 } ?? 0 }

  init(
    region: UnsafeMutablePointer<RegionRecord>?, instance: UnsafeMutablePointer<InstanceRecord>,
    backing: UnsafeMutablePointer<BackingRecord>?, pgoffs: Range<UInt64>,
    stride: UInt64 = 1
  ) {
    unsafe self.region = unsafe region
    unsafe self.instance = unsafe instance
    unsafe self.backing = unsafe backing
    prefetch = nil
    pace = nil
    isWhole = false
    preparation = nil
    ranges = []
    next = pgoffs.lowerBound
    end = pgoffs.upperBound
    self.stride = stride
    mostOpen = unsafe Self.mostOpen(instance)
  }

  /// The same by several readers: each takes a share whenever it has filled one, for one of them may have a CPU
  /// to itself and the next one not. By one, where workers fetch: they are what it waits for, and pieces of
  /// several readers would wait behind each other while their deadlines run.
  static func shared(
    among readers: Int, region: UnsafeMutablePointer<RegionRecord>?,
    instance: UnsafeMutablePointer<InstanceRecord>, backing: UnsafeMutablePointer<BackingRecord>?,
    pgoffs: Range<UInt64>, stride: UInt64 = 1
  ) -> [FillOrder] {
    let share = unsafe max(1, FillShares.bytes / instance.pointee.granule)
    // Every so manieth granule is counted from the first.
    let parts =
      unsafe stride > 1 || !instance.pointee.isInline
      ? 1 : min(readers, Int((UInt64(pgoffs.count) + share - 1) / share))
    guard parts > 1 else {
      return unsafe [
        FillOrder(
          region: region, instance: instance, backing: backing, pgoffs: pgoffs, stride: stride)
      ]
    }
    let shares = FillShares(pgoffs, share)
    return (0..<parts).map { _ in
      let order = unsafe FillOrder(
        region: region, instance: instance, backing: backing, pgoffs: shares.take())
      order.shares = shares
      return order
    }
  }

  /// Fills some granules of a region, as a hint. `ranges` are in order and inside the region.
  init(
    _ prefetch: Prefetch, region: UnsafeMutablePointer<RegionRecord>, _ ranges: [Range<UInt64>],
    _ preparation: Preparation?, isWhole: Bool
  ) {
    unsafe self.region = unsafe region
    let instance = unsafe region.pointee.instance
    unsafe self.instance = unsafe instance
    unsafe backing = unsafe region.pointee.backing
    self.prefetch = prefetch
    let pace = unsafe instance.pointee.owner.host.pace
    self.pace = pace.isLimited ? pace : nil
    self.isWhole = isWhole
    self.preparation = preparation
    self.ranges = ranges
    next = ranges.first?.lowerBound ?? 0
    end = ranges.first?.upperBound ?? 0
    place = 1
    stride = 1
    mostOpen = unsafe Self.mostOpen(instance)
  }

  /// A worker that has a piece has no time for a fault; one more is queued, so that none goes idle. And no
  /// more than that, for the deadline of a piece runs while it is queued.
  private static func mostOpen(_ instance: UnsafeMutablePointer<InstanceRecord>) -> Int {
    unsafe instance.pointee.isInline ? 16 : max(2, Int(instance.pointee.workers) * 3 / 4)
  }

  /// Goes on behind `count` granules.
  func advance(_ count: UInt64) {
    next += count
    guard next >= end else { return }
    if let shares {
      let share = shares.take()
      next = share.lowerBound
      end = share.upperBound
    } else if place < ranges.count {
      next = ranges[place].lowerBound
      end = ranges[place].upperBound
      place += 1
    }
  }

  /// Nothing more is to be filled: its region is gone.
  func drop() {
    next = end
    place = ranges.count
    shares = nil
    isDropped = true
    preparation?.cancel()
  }

  /// Reader only: it is off the list.
  func finish() {
    done.signal()
    if isWhole { prefetch?.endPart() }
  }
}

/// What several readers fill together. Any of them takes from it.
final class FillShares: Sendable {
  private let next: Atomic<UInt64>
  private let end: UInt64
  private let share: UInt64
  /// The source is made resident so much at once, by the reader that comes first.
  static let bytes: UInt64 = 2 << 20

  init(_ pgoffs: Range<UInt64>, _ share: UInt64) {
    next = Atomic(pgoffs.lowerBound)
    end = pgoffs.upperBound
    self.share = share
  }

  /// The next granules that nobody has taken; none, if there are no more.
  func take() -> Range<UInt64> {
    let start = next.add(share, ordering: .relaxed).oldValue
    return min(start, end)..<min(start + share, end)
  }
}

/// The end of a drain: stop watching a region if nothing of it is missing.
@safe final class RegionRelease: @unchecked Sendable {
  let order: FillOrder
  private let uffd: Userfaultfd
  /// Granules that were still to be filled; the region is watched on if there are any.
  var unfilled: UInt64 = 0
  /// Why the kernel did not let go.
  private(set) var error: Errno?

  init(_ order: FillOrder, _ uffd: Userfaultfd) {
    self.order = order
    self.uffd = uffd
  }

  func unregister() {
    let region = unsafe order.region!
    do {
      unsafe try uffd.unregister(region.pointee.start, length: region.pointee.length)
    } catch {
      self.error = error
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// A background fill: every page of a region (drain), or of a backing without any region (publish).

/// Pages that a reader fills between faults, in bounded pieces. Created by the control thread, worked on by
/// one reader, waited for by the control thread.
@safe final class FillOrder: @unchecked Sendable {
  /// Nil: the backing alone.
  let region: UnsafeMutablePointer<RegionRecord>?
  let instance: UnsafeMutablePointer<InstanceRecord>
  let backing: UnsafeMutablePointer<BackingRecord>?
  /// The next granule to fill, and the end.
  var next: UInt64
  let end: UInt64
  /// Every how manieth granule is filled.
  let stride: UInt64
  /// Questions of this order that are still open.
  var open = 0
  /// Granules that could not be filled.
  var failed: UInt64 = 0
  let done = Completion()
  /// Nothing of it is left to do.
  var isDone: Bool { next >= end && open == 0 }

  init(
    region: UnsafeMutablePointer<RegionRecord>?, instance: UnsafeMutablePointer<InstanceRecord>,
    backing: UnsafeMutablePointer<BackingRecord>?, pgoffs: Range<UInt64>,
    stride: UInt64 = 1
  ) {
    unsafe self.region = unsafe region
    unsafe self.instance = unsafe instance
    unsafe self.backing = unsafe backing
    next = pgoffs.lowerBound
    end = pgoffs.upperBound
    self.stride = stride
  }
}

/// The end of a drain: stop watching a region if nothing of it is missing.
@safe final class RegionRelease: @unchecked Sendable {
  let order: FillOrder
  /// `RegionRecord.discards` before the fill that went before.
  let discardsBefore: UInt64
  private let uffd: Userfaultfd
  /// Granules that were still to be filled; the region is watched on if there are any.
  var unfilled: UInt64 = 0
  /// Why the kernel did not let go.
  private(set) var error: Errno?

  init(_ order: FillOrder, discardsBefore: UInt64, _ uffd: Userfaultfd) {
    self.order = order
    self.discardsBefore = discardsBefore
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

/// Asks a reader how often a region's pages were discarded.
@safe final class DiscardCount: @unchecked Sendable {
  let region: UnsafeMutablePointer<RegionRecord>
  var value: UInt64 = 0
  init(_ region: UnsafeMutablePointer<RegionRecord>) { unsafe self.region = unsafe region }
}

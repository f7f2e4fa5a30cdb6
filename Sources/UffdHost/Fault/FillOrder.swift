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

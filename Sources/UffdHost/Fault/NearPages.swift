// SPDX-License-Identifier: Apache-2.0
// Whether a fault may have a neighbour in its batch, without looking at all of them.

/// Which pages a batch has had, by six bits of their number and by the six above: enough to say of a random
/// page that nothing near it was among them.
struct NearPages {
  private var fine: UInt64 = 0
  private var coarse: UInt64 = 0

  /// Notes a page. False: neither it nor a neighbour was noted before.
  @inline(__always)
  mutating func note(_ page: UInt64) -> Bool {
    let near = Self.around(fine, page) & Self.around(coarse, page >> 6)
    fine |= 1 &<< page
    coarse |= 1 &<< (page >> 6)
    return near != 0
  }

  /// All ones, if the bit of `place` is set, or that of the place before or after it.
  @inline(__always)
  private static func around(_ bits: UInt64, _ place: UInt64) -> UInt64 {
    // Rotated, so that the bit comes first, those beside it second and last.
    let rotated = bits &>> place | bits &<< (0 &- place)
    return rotated & 0x8000_0000_0000_0003 == 0 ? 0 : .max
  }
}

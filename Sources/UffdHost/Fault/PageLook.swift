// SPDX-License-Identifier: Apache-2.0
// What is known of a granule at one moment, and how many after it are known the same: what is decided for the first
// holds for them. Both states are read once, for other threads change them meanwhile.

/// A granule's states.
struct PageLook {
  /// `.unmapped` where there is no region.
  let region: RegionPage
  /// Nil where there is no backing.
  let backing: BackingPage?
}

extension Reader {
  @inline(__always)
  func look(
    _ region: UnsafeMutablePointer<RegionRecord>?, _ backing: UnsafeMutablePointer<BackingRecord>?,
    _ pgoff: UInt64
  ) -> PageLook {
    var state = RegionPage.unmapped
    if let region = unsafe region {
      state = unsafe region.pointee.states.region(pgoff - region.pointee.firstPgoff)
    }
    return unsafe PageLook(region: state, backing: backing?.pointee.states.backing(pgoff))
  }

  /// How many granules from `pgoff` on, one at least, look like this.
  @inline(never)
  func run(
    of look: PageLook, _ region: UnsafeMutablePointer<RegionRecord>?,
    _ backing: UnsafeMutablePointer<BackingRecord>?, from pgoff: UInt64, atMost most: UInt64
  ) -> UInt64 {
    var length: UInt64 = 0
    // Side by side: where one table changes often, the other would be read to its end each time.
    while length < most {
      let step = min(64, most - length)
      let start = pgoff + length
      var same = step
      if let region = unsafe region {
        let page = unsafe start - region.pointee.firstPgoff
        same = unsafe region.pointee.states.run(of: look.region, in: page..<(page + step))
      }
      if let states = unsafe backing?.pointee.states, let state = look.backing {
        same = min(same, states.run(of: state, in: start..<(start + step)))
      }
      length += same
      if same < step { break }
    }
    // The first one may look otherwise by now. It was judged by what was seen.
    return max(1, length)
  }
}

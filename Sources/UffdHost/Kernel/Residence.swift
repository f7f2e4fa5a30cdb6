// SPDX-License-Identifier: Apache-2.0
// Making memory resident and mapped before a COPY reads it, where waiting for a disk hurts nobody.
import CLinux

private let pageBytes: UInt64 = 4096
/// What a fault on a file maps at once, unless somebody has changed `fault_around_bytes`.
private let aroundBytes: UInt64 = 64 << 10

/// Makes lent memory present in our page tables, waiting for the disk if need be. Errors are left for the
/// COPY to find, page by page.
///
/// MADV_POPULATE_READ looks at every page on its own (faultin_page, follow_page_pte), which costs more than
/// mapping it. So it is asked for one page of each aligned 64 KiB, and the kernel maps its neighbours that are in
/// the page cache (do_fault_around). What that leaves, because it was not in the page cache or the kernel is
/// set otherwise, is looked for (PAGEMAP_SCAN) and populated.
func makeResident(_ start: UnsafeRawPointer, length: UInt64) {
  let address = UInt64(UInt(bitPattern: start))
  var page = address & ~(pageBytes - 1)
  // No user memory is near the end of what an address can say.
  guard page > 0, length > 0, length <= UInt64.max / 2, address <= UInt64.max / 2 else { return }
  let end = (address + length + pageBytes - 1) & ~(pageBytes - 1)
  var window = page
  while window < end {
    populate(window, pageBytes)
    window = (window | (aroundBytes - 1)) + 1
  }
  while page < end {
    guard let next = firstUnmapped(from: page, to: end) else { return populate(page, end - page) }
    if next < end { populate(next, pageBytes) }
    page = next + pageBytes
  }
}

private func populate(_ start: UInt64, _ length: UInt64) {
  let base = unsafe UnsafeMutableRawPointer(bitPattern: UInt(start))!
  unsafe clinux_madvise(base, length, CLINUX_MADV_POPULATE_READ)
}

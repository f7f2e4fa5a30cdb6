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
/// mapping it. So it is asked for one page that is not mapped, the kernel maps its neighbours that are in the
/// page cache (do_fault_around), and the next one is looked for. Where these were the aligned 64 KiB and no more,
/// as for files in small folios, the others are asked for without a look, for a look costs as much as they do.
func makeResident(_ start: UnsafeRawPointer, length: UInt64) {
  let address = UInt64(UInt(bitPattern: start))
  var page = address & ~(pageBytes - 1)
  // No user memory is near the end of what an address can say.
  guard page > 0, length > 0, length <= UInt64.max / 2, address <= UInt64.max / 2 else { return }
  let end = (address + length + pageBytes - 1) & ~(pageBytes - 1)
  // Where the first aligned 64 KiB end that were asked for.
  var window: UInt64?
  while page < end {
    guard let next = firstUnmapped(from: page, to: end) else { return populate(page, end - page) }
    if next == window {
      for page in stride(from: next, to: end, by: Int(aroundBytes)) { populate(page, pageBytes) }
    } else if next < end {
      populate(next, pageBytes)
    }
    if window == nil { window = (next | (aroundBytes - 1)) + 1 }
    page = next + pageBytes
  }
}

private func populate(_ start: UInt64, _ length: UInt64) {
  let base = unsafe UnsafeMutableRawPointer(bitPattern: UInt(start))!
  unsafe clinux_madvise(base, length, CLINUX_MADV_POPULATE_READ)
}

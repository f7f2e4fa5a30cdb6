// SPDX-License-Identifier: Apache-2.0
// Making memory resident and mapped before a COPY reads it, where waiting for a disk hurts nobody.
import CLinux

/// Pages that the kernel maps around a fault on a file that is in the page cache (`fault_around_bytes`, 64 KiB
/// unless somebody changed it), aligned to their length (do_fault_around).
private let faultAroundBytes: UInt64 = 64 << 10
private let pageBytes: UInt64 = 4096

/// Makes lent memory present in our page tables, waiting for the disk if need be. Errors are left for the
/// COPY to find, page by page.
///
/// MADV_POPULATE_READ looks at every page on its own (faultin_page, follow_page_pte), which costs more than
/// mapping it. So one page of each of the kernel's windows is populated, for which the kernel maps the others
/// that are in the page cache, or a whole large folio; what is not mapped then has to be read, and is
/// populated as a whole.
func makeResident(_ start: UnsafeRawPointer, length: UInt64) {
  let address = UInt64(UInt(bitPattern: start))
  let first = address & ~(pageBytes - 1)
  let (last, overflow) = address.addingReportingOverflow(length + pageBytes - 1)
  let end = last & ~(pageBytes - 1)
  guard !overflow, first < end, first > 0 else { return }
  populate(first, pageBytes)
  let isKnown = forEachUnmapped(from: first, to: end) { low, high in
    var page = low
    while page < high {
      populate(page, pageBytes)
      page = (page | (faultAroundBytes - 1)) + 1
    }
  }
  let isComplete =
    isKnown && forEachUnmapped(from: first, to: end) { low, high in populate(low, high - low) }
  if !isComplete { populate(first, end - first) }
}

private func populate(_ start: UInt64, _ length: UInt64) {
  let base = unsafe UnsafeMutableRawPointer(bitPattern: UInt(start))!
  unsafe clinux_madvise(base, length, CLINUX_MADV_POPULATE_READ)
}

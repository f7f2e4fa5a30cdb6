// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc

/// Opened once: at the moment it is needed, descriptors may be scarce.
private let pagemap: Descriptor? = {
  let fd = unsafe open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
  return fd >= 0 ? Descriptor(owning: fd) : nil
}()

/// Opens the page map now, so that a host has all its descriptors from the start.
func openPagemap() { _ = pagemap }

/// Whether this process has a page mapped at `address` (bit 63 of /proc/self/pagemap; proc_pid_pagemap(5)).
/// Nil where the file cannot be read. Tells an EEXIST of hugetlb that means "present" from one that means
/// "the pool is empty". Not inlined: rare, and its first use opens the file.
@inline(never)
func isMapped(_ address: UInt64) -> Bool? {
  guard let pagemap else { return nil }
  var entry: UInt64 = 0
  let size = MemoryLayout<UInt64>.size
  guard unsafe pread(pagemap.fd, &entry, size, off_t(address / 4096 * 8)) == size else {
    return nil
  }
  return entry >> 63 == 1
}

/// The first page of [start, end) that this process has not mapped; `end` if it has them all. `start` and `end`
/// are multiples of a page. Nil before Linux 6.7, which brought PAGEMAP_SCAN: reading the file instead costs
/// as much as mapping a page.
func firstUnmapped(from start: UInt64, to end: UInt64) -> UInt64? {
  guard let pagemap else { return nil }
  var found: UInt64 = 0
  guard unsafe clinux_pagemap_first_unmapped(pagemap.fd, start, end, &found) == 0 else {
    return nil
  }
  return found
}

// SPDX-License-Identifier: Apache-2.0
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

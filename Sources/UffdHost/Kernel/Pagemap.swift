// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Whether this process has a page mapped at `address` (bit 63 of /proc/self/pagemap; proc_pid_pagemap(5)).
/// Nil where the file cannot be read. Tells an EEXIST of hugetlb that means "present" from one that means
/// "the pool is empty".
func isMapped(_ address: UInt64) -> Bool? {
  let fd = unsafe open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
  guard fd >= 0 else { return nil }
  defer { close(fd) }
  var entry: UInt64 = 0
  let size = MemoryLayout<UInt64>.size
  guard unsafe pread(fd, &entry, size, off_t(address / 4096 * 8)) == size else { return nil }
  return entry >> 63 == 1
}

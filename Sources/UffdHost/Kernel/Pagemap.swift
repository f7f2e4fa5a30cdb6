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

/// Calls `body` with the pages of [start, end) that this process has not mapped, run by run in order, as far
/// as it wants to go on; `start` and `end` are multiples of a page. False where the file cannot be read.
func forEachUnmapped(
  from start: UInt64, to end: UInt64, _ body: (_ start: UInt64, _ end: UInt64) -> Void
) -> Bool {
  guard let pagemap else { return false }
  // One page of entries describes 2 MiB.
  return unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 512) { entries in
    var address = start
    var runStart: UInt64?
    while address < end {
      let count = Int(min(512, (end - address) / 4096))
      let length = count * MemoryLayout<UInt64>.size
      guard
        unsafe pread(pagemap.fd, entries.baseAddress!, length, off_t(address / 4096 * 8)) == length
      else { return false }
      for index in 0..<count {
        let page = address + UInt64(index) * 4096
        if unsafe entries[index] >> 63 == 1 {
          if let start = runStart { body(start, page) }
          runStart = nil
        } else if runStart == nil {
          runStart = page
        }
      }
      address += UInt64(count) * 4096
    }
    if let start = runStart { body(start, end) }
    return true
  }
}

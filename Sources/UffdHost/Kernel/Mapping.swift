// SPDX-License-Identifier: Apache-2.0
// Memory from mmap(2): regions, publisher mappings, staging, tables.
import CLinux
import Glibc

/// A mapping that we own; unmapped when its owner goes away.
@safe final class Mapping: @unchecked Sendable {
  let base: UnsafeMutableRawPointer
  let length: Int
  private let isAllocated: Bool

  private init(_ base: UnsafeMutableRawPointer, _ length: Int, isAllocated: Bool = false) {
    unsafe self.base = base
    self.length = length
    self.isAllocated = isAllocated
  }
  deinit {
    if isAllocated { unsafe base.deallocate() } else { unsafe munmap(base, length) }
  }

  var address: UInt64 { UInt64(UInt(bitPattern: unsafe base)) }

  private static func map(
    _ length: UInt64, _ protection: Int32, _ flags: Int32, _ fd: Int32, _ offset: UInt64
  ) throws(Errno) -> Mapping {
    guard length > 0, length <= UInt64(Int.max) else { throw .EINVAL }
    let base = unsafe mmap(nil, Int(length), protection, flags, fd, off_t(offset))
    guard let base = unsafe base, unsafe base != MAP_FAILED else { throw Errno(errno) }
    return unsafe Mapping(base, Int(length))
  }

  /// Private anonymous memory, charged only as it is used: tables and staging of our own.
  static func scratch(_ length: UInt64) throws(Errno) -> Mapping {
    try map(
      length, PROT_READ | PROT_WRITE, MAP_PRIVATE | Int32(MAP_ANONYMOUS) | MAP_NORESERVE, -1, 0)
  }

  /// Zeroed memory for a table of ours. A small one comes from the allocator: with a mapping for each, those
  /// of many clients would all begin at a page, compete for one set of the CPU's cache, and take an entry of
  /// the TLB each.
  static func table(_ length: UInt64) throws(Errno) -> Mapping {
    guard length > 0, length <= smallTable else { return try scratch(length) }
    let base = UnsafeMutableRawPointer.allocate(byteCount: Int(length), alignment: 16)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: Int(length))
    return unsafe Mapping(base, Int(length), isAllocated: true)
  }
  private static let smallTable: UInt64 = 16 << 10

  /// Anonymous memory to be served. MADV_DONTFORK: a forked child would read zeroes in missing pages,
  /// for it has no uffd of its own.
  static func anonymousRegion(_ length: UInt64) throws(Errno) -> Mapping {
    let mapping = try map(
      length, PROT_READ | PROT_WRITE, MAP_PRIVATE | Int32(MAP_ANONYMOUS), -1, 0)
    unsafe clinux_madvise(mapping.base, UInt64(mapping.length), MADV_DONTFORK)
    return mapping
  }

  /// A window of a backing. Own hugetlb backings are mapped with reservation (no MAP_NORESERVE), so
  /// that an empty pool is an error here and not a fault that cannot be served later.
  static func window(
    fd: Int32, offset: UInt64, length: UInt64, shared: Bool
  ) throws(Errno) -> Mapping {
    let mapping = try map(
      length, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE, fd, offset)
    unsafe clinux_madvise(mapping.base, UInt64(mapping.length), MADV_DONTFORK)
    return mapping
  }

  /// All of a client's memfd. Without reservation: the client owns its huge pages.
  static func foreignWindow(fd: Int32, length: UInt64) throws(Errno) -> Mapping {
    let mapping = try map(length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0)
    unsafe clinux_madvise(mapping.base, UInt64(mapping.length), MADV_DONTFORK)
    return mapping
  }

  /// A file's content, read-only. Lent to COPY; a file that shrinks is an EFAULT there.
  static func file(fd: Int32, length: UInt64) throws(Errno) -> Mapping {
    try map(length, PROT_READ, MAP_SHARED, fd, 0)
  }

  /// Begins to read a part of a file into the page cache, without waiting for it. `start` is a multiple of
  /// a page.
  func willNeed(from start: UInt64, length: UInt64) {
    unsafe clinux_madvise(base + Int(start), length, MADV_WILLNEED)
  }

  /// A page that nobody can read, as low as it can be had: a range that begins there ends before one of the
  /// same length elsewhere does. Never unmapped. Nil: there is no memory.
  static let unreadable: UInt64? = {
    let hint = unsafe UnsafeMutableRawPointer(bitPattern: 1 << 20)
    let base = unsafe mmap(
      hint, 4096, PROT_NONE, MAP_PRIVATE | Int32(MAP_ANONYMOUS) | MAP_NORESERVE, -1, 0)
    return unsafe base == MAP_FAILED ? nil : UInt64(UInt(bitPattern: base))
  }()

  /// Replaces the pages by an inaccessible reservation, so that a late access is SIGSEGV and the
  /// addresses are not handed to anybody else until the mapping goes away.
  func seal() {
    unsafe mmap(
      base, length, PROT_NONE,
      MAP_PRIVATE | Int32(MAP_ANONYMOUS) | MAP_FIXED | MAP_NORESERVE, -1, 0)
  }
}

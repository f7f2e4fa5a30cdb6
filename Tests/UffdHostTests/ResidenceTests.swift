// SPDX-License-Identifier: Apache-2.0
// Lent memory is mapped before a COPY reads it: every page of it, whatever the page cache holds.

import CLinux
import Glibc
import Testing

@testable import UffdHost

@Suite("Lent memory is made resident")
struct ResidenceTests {
  private static let page: UInt64 = 4096

  /// A mapped file of `pages` pages, in the page cache if `isCached`.
  private func withFile(
    pages: UInt64, isCached: Bool, _ body: (UnsafeMutableRawPointer, UInt64) throws -> Void
  ) throws {
    var template = Array("/var/tmp/uffdhost-residence-XXXXXX".utf8CString)
    let fd = unsafe mkstemp(&template)
    try #require(fd >= 0)
    unsafe unlink(template)
    defer { close(fd) }
    let length = Int(pages * Self.page)
    // A page at a time, so that no large folio is mapped as a whole.
    let content = [UInt8](repeating: 7, count: Int(Self.page))
    for index in 0..<Int(pages) {
      try #require(
        unsafe pwrite(fd, content, content.count, off_t(index * content.count)) == content.count)
    }
    if !isCached {
      try #require(fsync(fd) == 0)
      try #require(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0)
    }
    let memory = unsafe mmap(nil, length, PROT_READ, MAP_PRIVATE, fd, 0)!
    try #require(unsafe memory != MAP_FAILED)
    defer { unsafe munmap(memory, length) }
    try unsafe body(memory, UInt64(length))
  }

  private func unmapped(_ base: UnsafeMutableRawPointer, _ length: UInt64) -> UInt64 {
    let start = UInt64(UInt(bitPattern: base))
    return (0..<(length / Self.page)).reduce(0) {
      $0 + (isMapped(start + $1 * Self.page) == true ? 0 : 1)
    }
  }

  @Test("all of it is mapped, cached or not", arguments: [true, false])
  func whole(_ isCached: Bool) throws {
    try unsafe withFile(pages: 700, isCached: isCached) { memory, length in
      #expect(unsafe unmapped(memory, length) > 600)
      unsafe makeResident(memory, length: length)
      #expect(unsafe unmapped(memory, length) == 0)
    }
  }

  @Test("from the middle of a page to the middle of another")
  func parts() throws {
    try unsafe withFile(pages: 256, isCached: true) { memory, _ in
      unsafe makeResident(memory + 100 * 4096 + 5, length: 4096)
      #expect(unsafe unmapped(memory + 100 * 4096, 2 * 4096) == 0)
      // Nothing that is beyond the kernel's own window.
      #expect(unsafe unmapped(memory + 160 * 4096, 64 * 4096) == 64)
    }
  }

  @Test("the first page that is not mapped is found")
  func first() throws {
    try unsafe withFile(pages: 256, isCached: true) { memory, length in
      let start = UInt64(UInt(bitPattern: memory))
      guard let none = firstUnmapped(from: start, to: start + length) else {
        return  // Before Linux 6.7 there is no such call, and the whole is populated.
      }
      #expect(none == start)
      unsafe makeResident(memory, length: 128 * Self.page)
      let found = try #require(firstUnmapped(from: start, to: start + length))
      #expect(found >= start + 128 * Self.page && found < start + length)
      unsafe makeResident(memory, length: length)
      #expect(firstUnmapped(from: start, to: start + length) == start + length)
    }
  }

  @Test("memory that cannot be read, or is none, is left alone")
  func nothing() throws {
    let hole = unsafe mmap(
      nil, 64 * 4096, PROT_NONE, MAP_PRIVATE | Int32(MAP_ANONYMOUS), -1, 0)!
    unsafe makeResident(hole, length: 64 * 4096)
    #expect(unsafe unmapped(hole, 64 * 4096) == 64)
    unsafe munmap(hole, 64 * 4096)
    unsafe makeResident(hole, length: 64 * 4096)
    unsafe makeResident(UnsafeRawPointer(bitPattern: 4096)!, length: UInt64.max - 100)
    unsafe makeResident(hole, length: 0)
  }
}

// SPDX-License-Identifier: Apache-2.0

// Files that a test makes and that go away with it.

import Glibc

/// A file in the folder for temporary files, removed at the end of its life.
final class TemporaryFile: Sendable {
  let path: String

  /// Writes `content`; then, for a sparse file, sets the length.
  init(_ content: [UInt8] = [], at offset: Int = 0, length: Int? = nil) throws {
    var template = Array("/tmp/uffdhost-test-XXXXXX".utf8CString)
    let fd = unsafe mkstemp(&template)
    guard fd >= 0 else { throw Failure("mkstemp: errno \(errno)") }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    defer { Glibc.close(fd) }
    var done = 0
    while done < content.count {
      let count = unsafe content.withUnsafeBytes { bytes in
        unsafe pwrite(fd, bytes.baseAddress! + done, bytes.count - done, offset + done)
      }
      guard count > 0 else { throw Failure("pwrite: errno \(errno)") }
      done += count
    }
    if let length, ftruncate(fd, length) != 0 { throw Failure("ftruncate: errno \(errno)") }
  }

  deinit {
    unsafe unlink(path)
  }

  func truncate(to length: Int) throws {
    guard unsafe Glibc.truncate(path, length) == 0 else {
      throw Failure("truncate: errno \(errno)")
    }
  }
}

/// Bytes that differ from page to page and from zero, the same for the same seed.
func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var state = seed
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return UInt8(truncatingIfNeeded: state >> 56) | 1
  }
}

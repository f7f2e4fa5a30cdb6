// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc

/// What kind of file something is, and how long (stat(2)).
struct FileInfo {
  let isRegular: Bool
  /// Bytes.
  let size: UInt64

  init(path: String) throws(Errno) {
    var mode: UInt32 = 0
    var size: UInt64 = 0
    _ = unsafe try check(clinux_stat(-1, path, &mode, &size))
    self.init(mode, size)
  }

  init(fd: Int32) throws(Errno) {
    var mode: UInt32 = 0
    var size: UInt64 = 0
    _ = unsafe try check(clinux_stat(fd, nil, &mode, &size))
    self.init(mode, size)
  }

  private init(_ mode: UInt32, _ size: UInt64) {
    isRegular = mode & UInt32(Glibc.S_IFMT) == UInt32(Glibc.S_IFREG)
    self.size = size
  }
}

// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A descriptor that is kept so that there is one to give up when the table is full (EMFILE).
struct SpareDescriptor: ~Copyable {
  private var fd: Int32

  init() { fd = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC) }
  deinit { if fd >= 0 { close(fd) } }

  /// Makes room for one descriptor; false if there was none left to give. Takes another one when it can.
  mutating func spend() -> Bool {
    if fd < 0 {
      fd = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
      if fd < 0 { return false }
    }
    close(fd)
    fd = -1
    return true
  }
}

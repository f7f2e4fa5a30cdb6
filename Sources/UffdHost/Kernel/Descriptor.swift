// SPDX-License-Identifier: Apache-2.0
import Glibc

/// An owned file descriptor; closed when its owner goes away. The corresponding C call is close(2).
final class Descriptor: Sendable {
  let fd: Int32
  init(owning fd: Int32) { self.fd = fd }
  deinit { close(fd) }
}

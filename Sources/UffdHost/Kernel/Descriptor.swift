// SPDX-License-Identifier: Apache-2.0
import Glibc

/// An owned file descriptor; closed when its owner goes away. The corresponding C call is close(2).
package final class Descriptor: Sendable {
  package let fd: Int32
  package init(owning fd: Int32) { self.fd = fd }
  deinit { close(fd) }
}

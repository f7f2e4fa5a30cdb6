// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc

/// An owned file descriptor; closed when its owner goes away. The corresponding C call is close(2).
package final class Descriptor: Sendable {
  package let fd: Int32
  package init(owning fd: Int32) { self.fd = fd }
  deinit { close(fd) }

  /// O_NONBLOCK and FD_CLOEXEC (fcntl(2)).
  package func setNonblocking() {
    _ = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK)
    _ = fcntl(fd, F_SETFD, FD_CLOEXEC)
  }

  /// Of a pidfd: SIGKILL to its process (pidfd_send_signal(2)). False: there is no such process any more,
  /// or it may not be signalled.
  func kill() -> Bool { clinux_pidfd_kill(fd, SIGKILL) == 0 }
}

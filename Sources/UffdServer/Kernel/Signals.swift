// SPDX-License-Identifier: Apache-2.0
// Signals as something to read (signalfd(2)): no handler interrupts anything.
import CLinux
import Glibc
package import UffdHost

/// SIGTERM, SIGINT and SIGHUP. Made before any other thread: threads inherit that they are blocked.
package final class Signals {
  private let descriptor: Descriptor
  var fd: Int32 { descriptor.fd }

  package init() throws(HostError) {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for signal in [SIGTERM, SIGINT, SIGHUP] { unsafe sigaddset(&set, signal) }
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    do {
      descriptor = Descriptor(owning: try checked(unsafe clinux_signalfd(&set)))
    } catch {
      throw HostError(.system, "signals cannot be read (\(error.name))")
    }
  }

  /// The next one that came; nil: none did.
  func take() -> Int32? {
    let signal = clinux_signalfd_take(fd)
    return signal == 0 ? nil : signal
  }
}

// SPDX-License-Identifier: Apache-2.0
// How many descriptors this process may have, and one that is kept in reserve for when there are no
// more.
import CLinux
import Glibc
import UffdHost

enum DescriptorTable {
  /// Raises the limit as far as is allowed without asking anybody (RLIMIT_NOFILE); returns it.
  static func raiseLimit() -> Int {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
      return 1024
    }
    let before = limit.rlim_cur
    limit.rlim_cur = limit.rlim_max
    let isRaised = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
    return Int(clamping: isRaised ? limit.rlim_max : before)
  }
}

/// A descriptor that is given up to accept, and so refuse, a connection that else could not even be
/// refused: it would stay in the queue, and the socket readable, and the server would spin.
final class SpareDescriptor {
  private var spare: Descriptor?

  init() { restore() }

  private func restore() {
    let fd = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
    spare = fd < 0 ? nil : Descriptor(owning: fd)
  }

  /// Takes a connection and closes it; false: not even that worked.
  func turnAway(_ listener: UnixSocket) -> Bool {
    spare = nil
    defer { restore() }
    return (try? listener.accept()) != nil
  }
}

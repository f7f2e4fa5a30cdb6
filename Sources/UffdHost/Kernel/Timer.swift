// SPDX-License-Identifier: Apache-2.0
import CLinux

/// A timerfd(2) that wakes a reader at a moment. A timeout of epoll_pwait2(2) would do the same, but the
/// kernel then starts and stops a timer each time the reader sleeps: twice for every fault.
final class Timer: Sendable {
  private let descriptor: Descriptor

  init() throws(Errno) {
    descriptor = Descriptor(owning: try check(clinux_timerfd()))
  }

  /// Fires once at `moment`, in nanoseconds of CLOCK_MONOTONIC; at once if that is over. What fired before
  /// is forgotten (timerfd_setup).
  func set(_ moment: UInt64) { clinux_timerfd_set(descriptor.fd, moment) }
  var fd: Int32 { descriptor.fd }
}

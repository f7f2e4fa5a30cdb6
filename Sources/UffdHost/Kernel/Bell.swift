// SPDX-License-Identifier: Apache-2.0
// How a reader sleeps and is woken: one poll(2) over the uffd and an eventfd.
import CLinux
import Glibc

/// An eventfd(2) that any thread may ring to wake a reader.
final class Bell: Sendable {
  private let descriptor: Descriptor

  init() throws(Errno) {
    descriptor = Descriptor(owning: try check(clinux_eventfd()))
  }

  func ring() { clinux_eventfd_ring(descriptor.fd) }
  func clear() { clinux_eventfd_clear(descriptor.fd) }
  var fd: Int32 { descriptor.fd }
}

/// What ended a wait.
struct Readiness {
  var messages: Bool
  var rung: Bool
}

/// Sleeps until the uffd has messages, the bell rings, or the time is over (nil: no limit).
/// The corresponding C call is ppoll(2). `slots` is room for two pollfd of the calling thread.
@inline(__always)
func waitForWork(
  uffd: Int32, bell: Int32, slots: UnsafeMutablePointer<pollfd>, nanoseconds: Int64
) -> Readiness {
  unsafe slots[0] = pollfd(fd: uffd, events: Int16(POLLIN), revents: 0)
  unsafe slots[1] = pollfd(fd: bell, events: Int16(POLLIN), revents: 0)
  let ready = unsafe clinux_poll(slots, 2, nanoseconds)
  if ready <= 0 { return Readiness(messages: false, rung: false) }
  return unsafe Readiness(messages: slots[0].revents != 0, rung: slots[1].revents != 0)
}

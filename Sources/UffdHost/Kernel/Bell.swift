// SPDX-License-Identifier: Apache-2.0
import CLinux

/// An eventfd(2) that any thread may ring to wake a reader.
package final class Bell: Sendable {
  private let descriptor: Descriptor

  package init() throws(Errno) {
    descriptor = Descriptor(owning: try check(clinux_eventfd()))
  }

  package func ring() { clinux_eventfd_ring(descriptor.fd) }
  package func clear() { clinux_eventfd_clear(descriptor.fd) }
  package var fd: Int32 { descriptor.fd }
}

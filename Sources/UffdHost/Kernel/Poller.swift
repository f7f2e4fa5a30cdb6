// SPDX-License-Identifier: Apache-2.0
// How a reader sleeps: one epoll(7) over its bell, the uffds it reads and the pidfds of their clients.
import CLinux

/// The descriptors that one reader waits for. Used by its reader alone.
@safe final class Poller: @unchecked Sendable {
  private let descriptor: Descriptor
  private let tags: UnsafeMutablePointer<UInt64>
  private static let capacity: UInt32 = 32

  init() throws(Errno) {
    descriptor = Descriptor(owning: try check(clinux_epoll_create()))
    unsafe tags = .allocate(capacity: Int(Self.capacity))
  }
  deinit { unsafe tags.deallocate() }

  /// `tag` comes back when `fd` is readable. `exclusive`: other readers wait for it too, and one of them is
  /// enough (EPOLLEXCLUSIVE).
  func add(_ fd: Int32, tag: UInt64, exclusive: Bool = false) throws(Errno) {
    let events = EPOLLIN.rawValue | (exclusive ? EPOLLEXCLUSIVE.rawValue : 0)
    _ = try check(clinux_epoll_set(descriptor.fd, EPOLL_CTL_ADD, fd, events, tag))
  }

  /// Before the descriptor is closed: a client holds the same open file, which would stay in the set.
  func remove(_ fd: Int32) { _ = clinux_epoll_remove(descriptor.fd, fd) }

  /// Sleeps until something is ready or the time is over (negative: no limit). How many tags there are.
  @inline(__always)
  func wait(nanoseconds: Int64) -> Int {
    unsafe Int(max(0, clinux_epoll_wait(descriptor.fd, tags, Self.capacity, nanoseconds)))
  }

  @inline(__always)
  func tag(_ index: Int) -> UInt64 { unsafe tags[index] }
}

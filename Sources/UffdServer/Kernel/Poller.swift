// SPDX-License-Identifier: Apache-2.0
// What the server's thread waits on: everything that may happen, in one epoll(7).
import CLinux
import Glibc
import UffdHost

/// What happened, to what.
struct Ready {
  let source: Source
  let isReadable: Bool
  let isWritable: Bool
  /// Neither end sends any more.
  let isHungUp: Bool
}

/// What a descriptor in the poller stands for.
enum Source: Equatable {
  case listener, signals, mailbox, command, parent, lateListener
  case connection(UInt64)
  /// The process behind a uffd that was refused.
  case refused(UInt64)

  fileprivate var token: UInt64 {
    switch self {
    case .listener: 0
    case .signals: 1
    case .mailbox: 2
    case .command: 3
    case .parent: 4
    case .lateListener: 5
    case .connection(let id): 1 << 62 | id
    case .refused(let id): 2 << 62 | id
    }
  }

  fileprivate init(token: UInt64) {
    switch (token >> 62, token & (1 << 62 - 1)) {
    case (1, let id): self = .connection(id)
    case (2, let id): self = .refused(id)
    case (_, 0): self = .listener
    case (_, 1): self = .signals
    case (_, 2): self = .mailbox
    case (_, 3): self = .command
    case (_, 4): self = .parent
    default: self = .lateListener
    }
  }
}

/// Level-triggered: what is not dealt with is reported again.
final class Poller {
  private let descriptor: Descriptor
  private var slots = [clinux_ready](repeating: clinux_ready(), count: 64)

  init() throws(Errno) { descriptor = Descriptor(owning: try checked(clinux_epoll_create())) }

  private static func events(_ reads: Bool, _ writes: Bool) -> UInt32 {
    (reads ? EPOLLIN.rawValue | EPOLLRDHUP.rawValue : 0) | (writes ? EPOLLOUT.rawValue : 0)
  }

  func add(_ fd: Int32, _ source: Source) throws(Errno) {
    _ = try checked(
      clinux_epoll_set(
        descriptor.fd, EPOLL_CTL_ADD, fd, Self.events(true, false), source.token))
  }

  func change(_ fd: Int32, _ source: Source, reads: Bool, writes: Bool) {
    _ = clinux_epoll_set(
      descriptor.fd, EPOLL_CTL_MOD, fd, Self.events(reads, writes), source.token)
  }

  /// Must come before the last descriptor of the file is closed.
  func remove(_ fd: Int32) { _ = clinux_epoll_remove(descriptor.fd, fd) }

  /// Waits until something happens or `deadline` (of CLOCK_MONOTONIC; nil: none) is over.
  func wait(until deadline: UInt64?) -> [Ready] {
    var milliseconds: Int64 = -1
    if let deadline {
      let now = monotonicNanoseconds()
      milliseconds = deadline > now ? Int64(clamping: (deadline - now + 999_999) / 1_000_000) : 0
    }
    let count = unsafe clinux_epoll_wait_events(
      descriptor.fd, &slots, UInt32(slots.count), milliseconds)
    // Negative is EINTR: a signal that is nobody's business here.
    return slots[..<max(0, Int(count))].map { slot in
      let gone = EPOLLHUP.rawValue | EPOLLERR.rawValue
      return Ready(
        source: Source(token: slot.token),
        isReadable: slot.events & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue | gone) != 0,
        isWritable: slot.events & EPOLLOUT.rawValue != 0,
        isHungUp: slot.events & gone != 0)
    }
  }
}

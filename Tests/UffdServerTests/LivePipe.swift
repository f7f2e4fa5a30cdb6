// SPDX-License-Identifier: Apache-2.0
// Descriptors of which it can be said whether all of them are closed. A count of the process's
// descriptors could not: other tests open and close theirs at the same time.
import Glibc
import UffdHost

/// One pipe, made as a pair of sockets. Every descriptor that it gives is another name of its
/// writing end.
final class LivePipe {
  private let reading: Descriptor
  private var writing: Descriptor?

  init() {
    var ends: [Int32] = [0, 0]
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
    let result = unsafe socketpair(AF_UNIX, type, 0, &ends)
    precondition(result == 0, "a test needs two descriptors")
    reading = Descriptor(owning: ends[0])
    writing = Descriptor(owning: ends[1])
  }

  func descriptors(_ count: Int) -> [Descriptor] {
    (0..<count).map { _ in
      let copy = fcntl(writing!.fd, F_DUPFD_CLOEXEC, 0)
      precondition(copy >= 0, "a test needs a descriptor")
      return Descriptor(owning: copy)
    }
  }

  /// Gives up the pipe's own writing end and says whether it was the last one. A process that
  /// another test has just forked may hold them until it executes its program; `patience` is for
  /// that.
  func allAreClosed(patience milliseconds: Int32 = 5000) -> Bool {
    writing = nil
    var question = pollfd(fd: reading.fd, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&question, 1, milliseconds) == 1 && question.revents & Int16(POLLHUP) != 0
  }
}

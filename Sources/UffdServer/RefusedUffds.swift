// SPDX-License-Identifier: Apache-2.0
// What becomes of a uffd whose hand-off was refused, where the client cannot be told so: its
// dialect has no answers. If ours were the last copy, closing it would let the client read zeroes
// for content. So it is kept until the process ends: a page that is missing stalls, which is what
// the log line explains. The server's thread.
import CLinux
import Glibc
import UffdHost

struct RefusedUffds {
  private struct Held {
    let uffds: [Descriptor]
    let identities: [FileIdentity]
    let pidfd: Descriptor
    let pid: Int32
  }
  private var held: [UInt64: Held] = [:]
  private var next: UInt64 = 1

  /// Of all clients, and of one: who is refused again and again would fill our table.
  private static let most = 256
  private static let mostOfOneProcess = 4

  /// Keeps these until the process ends. Nil: it does; else why it cannot, after which they are closed.
  mutating func hold(_ uffds: [Descriptor], of process: ClientProcess, _ poller: Poller) -> String?
  {
    let own = held.values.filter { $0.pid == process.pid }
    // Who tries again with the same one has it kept already.
    let known = Set(own.flatMap(\.identities))
    let identities = uffds.compactMap { FileIdentity(fd: $0.fd) }
    if identities.count == uffds.count, known.isSuperset(of: identities) { return nil }
    if uffds.count > Self.mostOfOneProcess || own.count >= Self.mostOfOneProcess {
      return "\(Self.mostOfOneProcess) of one process are kept at most"
    }
    if held.count >= Self.most { return "\(Self.most) are kept already" }
    guard let pidfd = process.pidfd else {
      return "the kernel does not tell when the process ends (SO_PEERPIDFD, Linux 6.5)"
    }
    let watched: Descriptor
    do { watched = try watch(pidfd, poller) } catch {
      return "the process cannot be watched (\(error.name))"
    }
    held[next] = Held(uffds: uffds, identities: identities, pidfd: watched, pid: process.pid)
    next += 1
    return nil
  }

  /// The poller takes a descriptor once, and a connection may be refused more than one uffd. The first needs no
  /// other descriptor: that there are none left may be why it is refused.
  private func watch(_ pidfd: Descriptor, _ poller: Poller) throws(Errno) -> Descriptor {
    do {
      try poller.add(pidfd.fd, .refused(next))
      return pidfd
    } catch {
      if error != .EEXIST { throw error }
    }
    let copy = fcntl(pidfd.fd, F_DUPFD_CLOEXEC, 0)
    let watched = Descriptor(owning: try checked(copy < 0 ? -errno : copy))
    try poller.add(watched.fd, .refused(next))
    return watched
  }

  /// The process has ended.
  mutating func drop(_ id: UInt64, _ poller: Poller) {
    guard let entry = held.removeValue(forKey: id) else { return }
    poller.remove(entry.pidfd.fd)
  }

  /// Processes that wait for pages that nobody will give them.
  var pids: Set<Int32> { Set(held.values.map(\.pid)) }
}

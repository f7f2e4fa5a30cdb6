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
    let pidfd: Descriptor
    let pid: Int32
  }
  private var held: [UInt64: Held] = [:]

  /// Of all clients, and of one: who is refused again and again would fill our table.
  private static let most = 256
  private static let mostOfOneProcess = 4

  /// Keeps the uffds among `descriptors`. False: there is none, or it cannot be kept.
  mutating func hold(_ descriptors: [Descriptor], of connection: Connection, _ poller: Poller)
    -> Bool
  {
    let uffds = descriptors.filter { ReceivedUffd.isUserfaultfd($0.fd) }
    let peer = connection.peer
    guard !uffds.isEmpty, uffds.count <= Self.mostOfOneProcess, held.count < Self.most,
      held.values.count(where: { $0.pid == peer.pid }) < Self.mostOfOneProcess,
      let pidfd = peer.pidfd, (try? poller.add(pidfd.fd, .refused(connection.id))) != nil
    else { return false }
    held[connection.id] = Held(uffds: uffds, pidfd: pidfd, pid: peer.pid)
    return true
  }

  /// The process has ended.
  mutating func drop(_ id: UInt64, _ poller: Poller) {
    guard let entry = held.removeValue(forKey: id) else { return }
    poller.remove(entry.pidfd.fd)
  }

  /// Processes that wait for pages that nobody will give them.
  var pids: Set<Int32> { Set(held.values.map(\.pid)) }
}

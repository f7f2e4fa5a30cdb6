// SPDX-License-Identifier: Apache-2.0
// Which process a client is: the one that connected, as the kernel noted it down, or one that it names.
import CLinux
import Glibc
import UffdHost

struct ClientProcess: Sendable {
  /// 0 where it lives in a pid namespace that we do not see.
  let pid: Int32
  let uid: UInt32
  let gid: UInt32
  /// Readable when the process has ended; nil where none could be had.
  let pidfd: Descriptor?
}

extension ClientProcess {
  /// The process at the other end, when it connected.
  init(connectedBy socket: UnixSocket) throws(Errno) {
    var credentials = clinux_credentials()
    _ = try checked(unsafe clinux_peer_credentials(socket.fd, &credentials))
    pid = credentials.pid
    uid = credentials.uid
    gid = credentials.gid
    // Before Linux 6.5 only the number is known, and it may have gone to another process by now: the
    // client would have to end within the moment since it connected, and all pids to be used up.
    var number = clinux_peer_pidfd(socket.fd)
    if number < 0, Errno(-number) == .ENOPROTOOPT, pid > 0 { number = clinux_pidfd_open(pid) }
    pidfd = number < 0 ? nil : Descriptor(owning: number)
  }

  /// A process that `peer` names. It is watched, and killed where its pages cannot be had; so it must be the
  /// peer's own in every respect, but for those who may do that to any process.
  init(named pid: Int32, by peer: ClientProcess, isTrusted: Bool) throws(Refusal) {
    let number = pid > 0 ? clinux_pidfd_open(pid) : -ESRCH
    guard number >= 0 else {
      throw Refusal(
        number == -ESRCH
          ? "there is no process \(pid) whose memory it could be: it has ended, or lives in another pid namespace"
          : "process \(pid), whose memory it shall be, cannot be watched (\(Errno(-number).name))")
    }
    let pidfd = Descriptor(owning: number)
    guard let status = ReceivedUffd.readSmallFile("/proc/\(pid)/status"),
      let users = Self.numbers("Uid:", in: status), let groups = Self.numbers("Gid:", in: status),
      // If it lives still, the number was its own when the file was read.
      clinux_pidfd_kill(pidfd.fd, 0) != -ESRCH
    else { throw Refusal("nothing is known about process \(pid), whose memory it shall be") }
    guard isTrusted || users.allSatisfy({ $0 == peer.uid }) else {
      throw Refusal("process \(pid), whose memory it shall be, is not of user \(peer.uid)")
    }
    self.pid = pid
    (uid, gid) = (users[1], groups[1])
    self.pidfd = pidfd
  }

  /// The real, effective, saved and file system one (proc_pid_status(5)).
  static func numbers(_ name: String, in status: String) -> [UInt32]? {
    guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix(name) }) else {
      return nil
    }
    let numbers = line.dropFirst(name.count).split { $0 == "\t" || $0 == " " }.compactMap {
      UInt32($0)
    }
    return numbers.count == 4 ? numbers : nil
  }
}

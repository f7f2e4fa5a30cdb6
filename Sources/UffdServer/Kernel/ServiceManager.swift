// SPDX-License-Identifier: Apache-2.0
// systemd's two small protocols, which others speak too: a socket that is passed on
// (sd_listen_fds(3)), and how the service is (sd_notify(3)).
import CLinux
import Glibc
package import UffdHost

/// What the process that started us wants to know or has prepared.
package struct ServiceManager: Sendable {
  private let notifySocket: String?
  /// The socket that was passed on; nil: none was.
  package let passedSocket: Int32?

  /// The variables that are for this process alone.
  static let ownVariables = ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"]

  /// Throws `.usage` for more than one socket. `pid` is our own.
  package init(
    environment: (String) -> String? = ServiceManager.variable, pid: Int32 = getpid()
  ) throws(HostError) {
    notifySocket = environment("NOTIFY_SOCKET")
    guard let owner = environment("LISTEN_PID"), Int32(owner) == pid,
      let count = environment("LISTEN_FDS").flatMap({ Int($0) }), count > 0
    else {
      passedSocket = nil
      return
    }
    guard count == 1 else {
      throw HostError(
        .usage, "\(count) sockets were passed in LISTEN_FDS, and a server listens on one; pass one")
    }
    // SD_LISTEN_FDS_START.
    passedSocket = 3
  }

  package static func variable(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    let text = unsafe String(cString: value)
    return text.isEmpty ? nil : text
  }

  private func tell(_ text: String) {
    guard let notifySocket else { return }
    var text = text
    // A manager that does not listen is no reason to stop serving.
    text.withUTF8 { bytes in
      _ = unsafe clinux_send_datagram(notifySocket, bytes.baseAddress, UInt64(bytes.count))
    }
  }

  /// Clients can connect.
  func tellReady(_ status: String) { tell("READY=1\nSTATUS=\(status)\n") }
  func tellStatus(_ status: String) { tell("STATUS=\(status)\n") }
  func tellStopping(_ status: String) { tell("STOPPING=1\nSTATUS=\(status)\n") }
  /// The end takes that much longer than was agreed.
  func askForTime(seconds: UInt64, _ status: String) {
    tell("EXTEND_TIMEOUT_USEC=\(seconds * 1_000_000)\nSTATUS=\(status)\n")
  }
}

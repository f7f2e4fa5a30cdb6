// SPDX-License-Identifier: Apache-2.0
// Where clients connect: a socket of our own making, or one that a service manager passed on.
import CLinux
import Glibc
package import UffdHost
import UffdReport

/// A socket that listens. Used by the server's thread.
package final class Listener {
  let socket: UnixSocket
  /// Absolute, for those who are to connect; nil: a passed socket without a path.
  package let path: String?
  /// Nil: the socket belongs to whoever passed it.
  private let file: SocketFile?
  var isOurs: Bool { file != nil }

  /// Makes the socket at `path`.
  package init(
    path: String, mode: UInt32 = 0o600, owner: SocketOwner? = nil
  ) throws(HostError) {
    let file = try SocketFile(path, mode: mode, owner: owner)
    self.file = file
    socket = file.socket
    self.path = Self.absolute(path)
  }

  /// Takes a socket over that was passed on. `expected` is the path that the user named, if any.
  package init(passed fd: Int32, expected: String?) throws(HostError) {
    _ = fcntl(fd, F_SETFD, FD_CLOEXEC)
    let descriptor = Descriptor(owning: fd)
    let result = clinux_is_unix_listener(fd)
    guard result == 1 else {
      throw HostError(
        .usage,
        "descriptor \(fd), which LISTEN_FDS promises, is no Unix stream socket that listens"
          + (result < 0 ? " (\(Errno(-result).name))" : "") + "; check the socket unit")
    }
    let flags = fcntl(fd, F_GETFL)
    _ = fcntl(fd, F_SETFL, flags | O_NONBLOCK)
    let path = Self.boundPath(fd)
    if let expected, path != Self.absolute(expected) {
      throw HostError(
        .usage,
        "a socket at \((path ?? "no path").quoted) was passed on, and '--listen' names \(expected.quoted); "
          + "leave one of them out")
    }
    file = nil
    socket = UnixSocket(descriptor)
    self.path = path
  }

  private static func boundPath(_ fd: Int32) -> String? {
    var buffer = [CChar](repeating: 0, count: UnixSocket.mostPathBytes + 1)
    let length = unsafe clinux_bound_path(fd, &buffer, UInt64(buffer.count))
    guard length > 0 else { return nil }
    return String(
      decoding: buffer[..<Int(length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func absolute(_ path: String) -> String {
    guard path.utf8.first != UInt8(ascii: "/"), let folder = unsafe getcwd(nil, 0) else {
      return path
    }
    defer { unsafe free(folder) }
    return unsafe String(cString: folder) + "/" + path
  }

  /// Beside its path a server that ends can be asked for its state.
  static let lateSuffix = ".draining"

  /// A socket there, for whoever owns the server; nil: there is no path beside which it could be.
  func makeLateSocket() throws(HostError) -> SocketFile? {
    guard let path = file?.path ?? path else { return nil }
    return try SocketFile(path + Self.lateSuffix, mode: 0o600, owner: nil)
  }

  /// From now on nobody can connect; those who have can still be accepted. A passed socket goes on
  /// queueing, for the next server that its manager starts.
  func refuseConnections() {
    guard let file else { return }
    // In this order: a path that is there can be connected to.
    file.remove()
    _ = clinux_refuse_connections(socket.fd)
  }
}

// SPDX-License-Identifier: Apache-2.0
// A socket's file: made so that nobody ever finds it with a wrong mode or nobody listening, and
// taken away so that nobody else's is. Called on the control thread.
import CLinux
import Glibc
import UffdHost
import UffdReport

/// Who owns the socket's file; nil: as it is made.
package struct SocketOwner: Sendable, Equatable {
  package var uid: UInt32?
  package var gid: UInt32?
  package init(uid: UInt32? = nil, gid: UInt32? = nil) {
    self.uid = uid
    self.gid = gid
  }
}

/// A listening socket at a path, and the lock that keeps two servers from taking each other's path.
///
/// The socket is bound at `PATH~`, gets its owner, its mode and its queue there, and only then its
/// name: whoever finds the path can connect, and nobody else ever could. That and the removal of
/// what a dead server left are several steps, hence the lock on `PATH.lock`, which the kernel drops
/// when its holder ends, however it ends.
final class SocketFile {
  let socket: UnixSocket
  let path: String
  private let lock: Descriptor
  private let identity: FileIdentity
  private var isRemoved = false

  private static let lockSuffix = ".lock"
  private static let newSuffix = "~"

  init(_ path: String, mode: UInt32, owner: SocketOwner?) throws(HostError) {
    try Self.checkPath(path)
    lock = try Self.takeLock(path)
    do throws(HostError) {
      try Self.clear(path)
      try Self.clear(path + Self.newSuffix)
      socket = try Self.bind(path + Self.newSuffix)
      identity = try Self.dress(path + Self.newSuffix, mode, owner)
      try Self.publish(path, socket)
    } catch {
      Self.dropLock(path, lock)
      throw error
    }
    self.path = path
  }

  private static func checkPath(_ path: String) throws(HostError) {
    let most = UnixSocket.mostPathBytes - newSuffix.utf8.count
    guard !path.isEmpty, !path.utf8.contains(0) else {
      throw HostError(.usage, "a socket needs a path; give '--listen PATH'")
    }
    guard path.utf8.first != UInt8(ascii: "@") else {
      throw HostError(
        .usage,
        "\(path.quoted) would be an abstract socket, which has neither owner nor mode; "
          + "give a path, or './\(path.printable)' for a file of that name")
    }
    guard path.utf8.count <= most else {
      throw HostError(
        .usage,
        "the path \(path.quoted) of \(path.utf8.count) bytes is too long for a socket; "
          + "give one of at most \(most), for example relative to the working directory")
    }
  }

  // MARK: The lock

  private static func takeLock(_ path: String) throws(HostError) -> Descriptor {
    let name = path + lockSuffix
    while true {
      let fd = unsafe open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
      guard fd >= 0 else {
        throw HostError(
          .system,
          "the lock \(name.quoted) of the socket cannot be opened (\(Errno(errno).name)); "
            + "is its folder there, and may you write there?")
      }
      let lock = Descriptor(owning: fd)
      guard flock(fd, LOCK_EX | LOCK_NB) == 0 else {
        throw HostError(
          .usage, "another server serves at \(path.quoted); give another path or end it")
      }
      // The last holder takes the file away with it: what was locked must be what the name stands
      // for now.
      if let held = FileIdentity(fd: fd), held == FileIdentity(path: name) { return lock }
    }
  }

  private static func dropLock(_ path: String, _ lock: Descriptor) {
    unsafe unlink(path + lockSuffix)
    withExtendedLifetime(lock) {}
  }

  // MARK: What is there already

  /// Removes a socket that nobody listens on; throws for anything else that is in the way.
  private static func clear(_ path: String) throws(HostError) {
    var found = clinux_file()
    let result = unsafe clinux_identify(-1, path, &found)
    if result < 0 {
      if Errno(-result) == .ENOENT { return }
      throw HostError(.system, "\(path.quoted) cannot be examined (\(Errno(-result).name))")
    }
    guard found.mode & UInt32(Glibc.S_IFMT) == UInt32(Glibc.S_IFSOCK) else {
      throw HostError(
        .usage, "\(path.quoted) is there and is no socket; remove it or give another path")
    }
    switch attempt(path) {
    case .ECONNREFUSED: break
    case nil:
      throw HostError(
        .usage, "another server listens at \(path.quoted); give another path or end it")
    case .some(let error):
      throw HostError(
        .usage,
        "\(path.quoted) is a socket that somebody may be using (\(error.name)); "
          + "remove it if it is left over, or give another path")
    }
    if FileIdentity(path: path) == FileIdentity(device: found.device, inode: found.inode) {
      unsafe unlink(path)
    }
  }

  /// Tries to connect; nil: somebody listens.
  private static func attempt(_ path: String) -> Errno? {
    do {
      try UnixSocket().connect(path)
      return nil
    } catch {
      return error
    }
  }

  // MARK: Making it

  /// The file's mode is that of the socket, less the umask: nobody but us from its first moment.
  private static func bind(_ path: String) throws(HostError) -> UnixSocket {
    do {
      let socket = try UnixSocket()
      fchmod(socket.fd, 0o600)
      _ = try checked(unsafe clinux_unix_bind(socket.fd, path))
      return socket
    } catch {
      throw HostError(
        .system, "no socket can be made at \(path.quoted) (\(error.name)); may you write there?")
    }
  }

  /// Gives the file its owner and then its mode, by a descriptor: the name may be taken by
  /// something else.
  private static func dress(
    _ path: String, _ mode: UInt32, _ owner: SocketOwner?
  ) throws(HostError) -> FileIdentity {
    var isDone = false
    defer { if !isDone { unsafe unlink(path) } }
    let number = unsafe clinux_open_file_itself(path)
    guard number >= 0 else {
      throw HostError(.system, "\(path.quoted) cannot be opened (\(Errno(-number).name))")
    }
    let file = Descriptor(owning: number)
    var info = clinux_file()
    guard unsafe clinux_identify(file.fd, nil, &info) == 0, info.uid == geteuid(),
      info.mode & UInt32(Glibc.S_IFMT) == UInt32(Glibc.S_IFSOCK)
    else {
      throw HostError(.system, "\(path.quoted) was replaced by somebody; use a folder of your own")
    }
    if let owner {
      let result = clinux_change_owner(file.fd, owner.uid ?? .max, owner.gid ?? .max)
      guard result == 0 else {
        throw HostError(
          .system,
          "the owner of \(path.quoted) cannot be changed (\(Errno(-result).name)); "
            + "'--socket-owner' needs CAP_CHOWN")
      }
    }
    let result = clinux_change_mode(file.fd, mode)
    guard result == 0 else {
      throw HostError(
        .system, "the mode of \(path.quoted) cannot be changed (\(Errno(-result).name))")
    }
    isDone = true
    return FileIdentity(device: info.device, inode: info.inode)
  }

  private static func publish(_ path: String, _ socket: UnixSocket) throws(HostError) {
    let new = path + newSuffix
    do {
      // The kernel cuts the queue to net.core.somaxconn.
      _ = try checked(clinux_listen(socket.fd, 4096))
      _ = try checked(unsafe clinux_rename_new(new, path))
    } catch {
      unsafe unlink(new)
      throw HostError(
        error == .EEXIST ? .usage : .system,
        error == .EEXIST
          ? "\(path.quoted) was made by somebody a moment ago; give another path"
          : "the socket \(path.quoted) cannot be made ready (\(error.name))")
    }
  }

  /// Takes the path away if it is still ours, and frees it for the next server.
  func remove() {
    if isRemoved { return }
    isRemoved = true
    if FileIdentity(path: path) == identity { unsafe unlink(path) }
    Self.dropLock(path, lock)
  }

  deinit { remove() }
}

extension FileIdentity {
  /// Of the file itself where it is a link.
  init?(path: String) {
    var info = clinux_file()
    guard unsafe clinux_identify(-1, path, &info) == 0 else { return nil }
    self.init(device: info.device, inode: info.inode)
  }
}

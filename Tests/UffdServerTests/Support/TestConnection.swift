// SPDX-License-Identifier: Apache-2.0
// The other end of a connection, and what travels over it.
import CLinux
import Glibc
import UffdHost

@testable import UffdServer

final class TestConnection {
  private let socket: UnixSocket
  private var inbox: [UInt8] = []

  init(_ path: String) throws {
    socket = try UnixSocket()
    try socket.connect(path)
  }

  /// sendmsg(2) with SCM_RIGHTS.
  func send(_ text: String, _ descriptors: [Descriptor] = []) throws {
    try send(Array(text.utf8), descriptors)
  }

  func send(_ bytes: [UInt8], _ descriptors: [Descriptor] = []) throws {
    var bytes = bytes
    var control = [UInt64](repeating: 0, count: 2 + (descriptors.count + 1) / 2)
    control[0] = UInt64(16 + 4 * descriptors.count)
    control[1] = UInt64(UInt32(SOL_SOCKET)) | UInt64(SCM_RIGHTS) << 32
    for (index, descriptor) in descriptors.enumerated() {
      control[2 + index / 2] |= UInt64(UInt32(bitPattern: descriptor.fd)) << UInt64(index % 2 * 32)
    }
    let sent = unsafe bytes.withUnsafeMutableBytes { bytes in
      unsafe control.withUnsafeMutableBytes { control in
        var part = unsafe iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
        return unsafe withUnsafeMutablePointer(to: &part) { part in
          var message = unsafe msghdr()
          unsafe message.msg_iov = part
          unsafe message.msg_iovlen = 1
          if !descriptors.isEmpty {
            unsafe message.msg_control = control.baseAddress
            unsafe message.msg_controllen = control.count
          }
          return unsafe sendmsg(socket.fd, &message, Int32(MSG_NOSIGNAL))
        }
      }
    }
    if sent != bytes.count { throw Errno(errno) }
  }

  private enum Step { case bytes, end, nothing }

  private func receive(milliseconds: Int32) throws -> Step {
    var slot = pollfd(fd: socket.fd, events: Int16(POLLIN), revents: 0)
    if unsafe poll(&slot, 1, milliseconds) == 0 { return .nothing }
    do throws(Errno) {
      guard let arrival = try socket.receive(most: 65536, descriptors: 0) else { return .nothing }
      inbox += arrival.bytes
      return arrival.bytes.isEmpty ? .end : .bytes
    } catch {
      return .end
    }
  }

  /// The next line that comes within some seconds; nil: the other end is closed.
  func line() throws -> String? {
    while true {
      if let end = inbox.firstIndex(of: 0x0a) {
        let line = String(decoding: inbox[..<end], as: UTF8.self)
        inbox.removeFirst(end + 1)
        return line
      }
      switch try receive(milliseconds: 10_000) {
      case .bytes: break
      case .end: return nil
      case .nothing: throw Lateness(what: "a line")
      }
    }
  }

  /// That many bytes.
  func bytes(_ count: Int) throws -> [UInt8] {
    while inbox.count < count {
      guard try receive(milliseconds: 10_000) == .bytes else { throw Lateness(what: "bytes") }
    }
    defer { inbox.removeFirst(count) }
    return Array(inbox[..<count])
  }

  /// Whether it is closed within some seconds; what comes before is left out.
  func isClosed(milliseconds: Int32 = 10_000) throws -> Bool {
    while true {
      switch try receive(milliseconds: milliseconds) {
      case .bytes: break
      case .end: return true
      case .nothing: return false
      }
    }
  }

  func endWriting() { shutdown(socket.fd, Int32(SHUT_WR)) }
}

/// Userfaultfds of this process.
enum TestUffd {
  static let isPossible = (try? make()) != nil

  static func make(_ features: UInt64 = 0, initialised: Bool = true) throws -> Descriptor {
    let fd = clinux_uffd_from_syscall(O_CLOEXEC | O_NONBLOCK)
    guard fd >= 0 else { throw Errno(-fd) }
    let uffd = Descriptor(owning: fd)
    if initialised {
      var (features, ioctls) = (features, UInt64(0))
      let result = unsafe clinux_uffd_api(fd, &features, &ioctls)
      if result < 0 { throw Errno(-result) }
    }
    return uffd
  }

  static func copy(_ descriptor: Descriptor) -> Descriptor {
    Descriptor(owning: fcntl(descriptor.fd, F_DUPFD_CLOEXEC, 0))
  }

  /// How many descriptors of this process, which is the server's too, stand for it.
  static func copies(of uffd: Descriptor) -> Int {
    let identity = FileIdentity(fd: uffd.fd)
    return (0..<4096).count { FileIdentity(fd: $0) == identity }
  }
}

// SPDX-License-Identifier: Apache-2.0
// Unix stream sockets: what connects, who it is, and the bytes and descriptors that come.
import CLinux
import UffdHost

/// A SOCK_STREAM socket of ours; no call on it waits.
struct UnixSocket {
  /// Longest path of a socket in bytes (`sun_path`, less the byte that ends it).
  static let mostPathBytes = CLINUX_MOST_SOCKET_PATH
  /// Most descriptors that are taken from one message, however many were sent.
  static let mostDescriptors = CLINUX_MOST_DESCRIPTORS

  let descriptor: Descriptor
  var fd: Int32 { descriptor.fd }

  init(_ descriptor: Descriptor) { self.descriptor = descriptor }

  /// socket(2).
  init() throws(Errno) { descriptor = Descriptor(owning: try checked(clinux_unix_socket())) }

  func connect(_ path: String) throws(Errno) {
    _ = try checked(unsafe clinux_unix_connect(fd, path))
  }

  /// The next connection that waits; nil: none does.
  func accept() throws(Errno) -> UnixSocket? {
    do {
      return UnixSocket(Descriptor(owning: try checked(clinux_accept(fd))))
    } catch {
      // EINVAL: connections are refused by now, and none waits any more.
      if error == .EAGAIN || error == .EINVAL { return nil }
      throw error
    }
  }

  /// What one recvmsg(2) brought.
  struct Arrival {
    var bytes: [UInt8]
    var descriptors: [Descriptor]
    /// More descriptors were sent than are taken; the kernel has closed the others.
    var lostDescriptors: Bool
  }

  /// Takes what is there; nil: nothing is. No bytes: the other end is closed.
  func receive(most: Int, descriptors mostDescriptors: Int) throws(Errno) -> Arrival? {
    var numbers = [Int32](repeating: -1, count: Self.mostDescriptors)
    var count: UInt32 = 0
    var lost: Int32 = 0
    var result: Int64 = 0
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: most) { buffer, initialized in
      result = unsafe clinux_receive(
        fd, buffer.baseAddress, UInt64(most), &numbers, UInt32(mostDescriptors), &count, &lost)
      initialized = max(0, Int(result))
    }
    if result < 0 {
      let error = Errno(Int32(-result))
      if error == .EAGAIN || error == .EINTR { return nil }
      throw error
    }
    return Arrival(
      bytes: bytes, descriptors: numbers[..<Int(count)].map { Descriptor(owning: $0) },
      lostDescriptors: lost != 0)
  }

  /// Writes the front of `bytes`; how many were taken, 0: there is no room.
  func send(_ bytes: ArraySlice<UInt8>) throws(Errno) -> Int {
    let sent = unsafe bytes.withUnsafeBytes {
      unsafe clinux_send(fd, $0.baseAddress, UInt64($0.count))
    }
    if sent >= 0 { return Int(sent) }
    let error = Errno(Int32(-sent))
    if error == .EAGAIN || error == .EINTR { return 0 }
    throw error
  }
}

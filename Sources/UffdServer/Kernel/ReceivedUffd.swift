// SPDX-License-Identifier: Apache-2.0
// Whether a descriptor that somebody sent is a userfaultfd that can be served, and what it will
// tell.
import CLinux
import Glibc
import UffdHost

/// A userfaultfd of another process, examined. Any file may have been sent in its place.
struct ReceivedUffd {
  /// UFFD_FEATURE_*, as far as a server must know whether the client enabled them.
  struct Features: OptionSet {
    let rawValue: UInt64
    static let eventFork = Features(rawValue: 1 << 1)
    static let eventRemap = Features(rawValue: 1 << 2)
    static let eventRemove = Features(rawValue: 1 << 3)
    static let eventUnmap = Features(rawValue: 1 << 6)
    static let sigbus = Features(rawValue: 1 << 7)
    /// Not a feature: the kernel's note that UFFDIO_API was called (UFFD_FEATURE_INITIALIZED).
    static let initialised = Features(rawValue: 1 << 31)
  }

  let descriptor: Descriptor
  let features: Features
  /// Tells the same uffd sent twice: each has an inode of its own since Linux 5.12.
  let identity: FileIdentity

  /// Throws one sentence for whatever is no userfaultfd or cannot be served.
  init(_ descriptor: Descriptor) throws(Refusal) {
    guard Self.isUserfaultfd(descriptor.fd) else {
      throw Refusal("the descriptor that was sent is no userfaultfd")
    }
    guard let identity = FileIdentity(fd: descriptor.fd),
      let text = Self.readSmallFile("/proc/self/fdinfo/\(descriptor.fd)"),
      let features = Self.features(in: text)
    else {
      throw Refusal("nothing is known about the userfaultfd: is /proc mounted?")
    }
    guard features.contains(.initialised) else {
      throw Refusal(
        "the handshake of the userfaultfd is not done: call UFFDIO_API before sending it")
    }
    if features.contains(.sigbus) {
      throw Refusal(
        "the userfaultfd has UFFD_FEATURE_SIGBUS, so that its faults are never reported; leave it out"
      )
    }
    // poll(2) on a uffd that blocks answers POLLERR.
    let flags = fcntl(descriptor.fd, F_GETFL)
    guard flags >= 0,
      flags & O_NONBLOCK != 0 || fcntl(descriptor.fd, F_SETFL, flags | O_NONBLOCK) == 0
    else {
      throw Refusal("the userfaultfd cannot be made non-blocking (\(Errno(errno).name))")
    }
    self.descriptor = descriptor
    self.features = features
    self.identity = identity
  }

  static func isUserfaultfd(_ fd: Int32) -> Bool {
    var buffer = [CChar](repeating: 0, count: 64)
    let length = unsafe readlink("/proc/self/fd/\(fd)", &buffer, buffer.count)
    guard length > 0 else { return false }
    let link = buffer[..<length].map { UInt8(bitPattern: $0) }
    return link.elementsEqual("anon_inode:[userfaultfd]".utf8)
  }

  /// From `API:  aa:80000008:...`: api, features and the note of the handshake, ioctls
  /// (userfaultfd_show_fdinfo).
  static func features(in fdinfo: String) -> Features? {
    for line in fdinfo.split(separator: "\n") where line.hasPrefix("API:") {
      let fields = line.dropFirst(4).drop { $0 == " " || $0 == "\t" }.split(separator: ":")
      if fields.count >= 2, let bits = UInt64(fields[1], radix: 16) {
        return Features(rawValue: bits)
      }
    }
    return nil
  }

  /// What the client does to its memory that will not be told, in words; nil: everything is.
  var untold: String? {
    let events: [(Features, String)] = [
      (.eventRemove, "discarding"), (.eventUnmap, "unmapping"), (.eventRemap, "moving"),
      (.eventFork, "forking"),
    ]
    let missing = events.filter { !features.contains($0.0) }.map(\.1)
    return missing.isEmpty ? nil : missing.joined(separator: ", ")
  }

  /// Its first 4096 bytes.
  static func readSmallFile(_ path: String) -> String? {
    let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return nil }
    let file = Descriptor(owning: fd)
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = unsafe read(file.fd, &bytes, bytes.count)
    return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
  }
}

/// Which file something is, whatever it is called.
struct FileIdentity: Hashable {
  let device: UInt64
  let inode: UInt64
}

extension FileIdentity {
  init?(fd: Int32) {
    var info = clinux_file()
    guard unsafe clinux_identify(fd, nil, &info) == 0 else { return nil }
    self.init(device: info.device, inode: info.inode)
  }
}

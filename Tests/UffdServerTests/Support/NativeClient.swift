// SPDX-License-Identifier: Apache-2.0
// Memory of this process that a server in another one serves, handed over in the native dialect.
import CLinux
import Glibc
import UffdHost

@testable import UffdServer

@safe final class NativeClient {
  let connection: TestConnection
  let memory: UnsafeMutableRawPointer
  let length: Int
  private var request: UInt64 = 1
  /// While this is held, a dead server means a stall; without it, zeroes.
  private var uffd: Descriptor?

  /// Connects and hands `pages` of anonymous memory over. Waits for the answer.
  init(_ path: String, pages: Int, features: UInt64 = 1 << 3) throws {
    connection = try TestConnection(path)
    length = pages * 4096
    let uffd = try TestUffd.make(features)
    self.uffd = uffd
    guard
      let memory = unsafe mmap(
        nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | Int32(MAP_ANONYMOUS), -1, 0),
      unsafe memory != MAP_FAILED
    else { throw Errno(errno) }
    unsafe self.memory = memory
    // A child that another test forks would read zeroes.
    _ = unsafe clinux_madvise(memory, UInt64(length), MADV_DONTFORK)
    var ioctls: UInt64 = 0
    _ = try checked(
      unsafe clinux_uffd_register(
        uffd.fd, address, UInt64(length), CLINUX_REGISTER_MISSING, &ioctls))
    try connection.send(NativeStatusConversation().opening)
    _ = try connection.bytes(8)
    _ = try frame()
    try attach(uffd)
    let answer = try frame()
    guard answer.kind == .done else {
      throw Lateness(what: String(decoding: answer.body.dropFirst(16), as: UTF8.self))
    }
  }

  deinit { unsafe munmap(memory, length) }

  private var address: UInt64 { UInt64(UInt(bitPattern: unsafe memory)) }

  private func attach(_ uffd: Descriptor) throws {
    var frame = NativeFrameWriter()
    for number in [UInt32(24), 0, 1, 48, 0, 0] { frame.put(number) }
    for number in [address, UInt64(length), 0, 4096] { frame.put(number) }
    for number in [0, 1, NativeWire.noBacking, 0] { frame.put(number) }
    try connection.send(
      frame.frame(kind: NativeWire.Kind.attach.rawValue, descriptors: 1, id: 2), [uffd])
  }

  func frame() throws -> (kind: NativeWire.Answer?, body: [UInt8]) {
    let head = try connection.bytes(16)
    guard let header = NativeHeader(head) else { throw Lateness(what: "a frame") }
    return (
      NativeWire.Answer(rawValue: header.kind), try connection.bytes(Int(header.length) - 16)
    )
  }

  func ask(_ kind: NativeWire.Kind) throws {
    var frame = NativeFrameWriter()
    frame.put(UInt32(8))
    frame.put(UInt32(0))
    try connection.send(frame.frame(kind: kind.rawValue, descriptors: 0, id: 3))
  }

  /// From now on missing pages read zero if nobody serves them.
  func giveUpUffd() { uffd = nil }

  /// The first byte of a page; nil: reading it is a SIGBUS.
  func byte(_ page: Int) -> UInt8? {
    let address = unsafe memory + page * 4096
    guard unsafe GuardedAccess.touch(address) == 0 else { return nil }
    return unsafe address.load(as: UInt8.self)
  }
}

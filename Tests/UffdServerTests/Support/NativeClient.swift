// SPDX-License-Identifier: Apache-2.0
// Memory of this process that a server in another one serves, handed over in the native dialect.
import CLinux
import Glibc
import UffdHost

@testable import UffdServer

@safe final class ServedMemory {
  private let memory: UnsafeMutableRawPointer
  let length: Int
  /// While this is held, a dead server means a stall; without it, zeroes, which a test can see.
  private(set) var uffd: Descriptor?

  init(pages: Int) throws {
    length = pages * 4096
    let uffd = try TestUffd.make(1 << 3)
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
  }

  deinit { unsafe munmap(memory, length) }

  var address: UInt64 { UInt64(UInt(bitPattern: unsafe memory)) }

  /// From now on missing pages read zero if nobody serves them.
  func giveUpUffd() { uffd = nil }

  /// The first byte of a page; nil: reading it is a SIGBUS.
  func byte(_ page: Int) -> UInt8? {
    let address = unsafe memory + page * 4096
    guard unsafe GuardedAccess.touch(address) == 0 else { return nil }
    return unsafe address.load(as: UInt8.self)
  }
}

/// The other end of a conversation in the native dialect.
final class NativeClient {
  let connection: TestConnection
  let memory: ServedMemory

  /// Connects and hands `pages` of anonymous memory over. Waits for the answer.
  init(_ path: String, pages: Int) throws {
    connection = try TestConnection(path)
    memory = try ServedMemory(pages: pages)
    try connection.send(NativeStatusConversation().opening)
    _ = try connection.bytes(8)
    _ = try frame()
    try attach()
    let answer = try frame()
    guard answer.kind == .done else {
      throw Lateness(what: String(decoding: answer.body.dropFirst(16), as: UTF8.self))
    }
    memory.giveUpUffd()
  }

  private func attach() throws {
    var frame = NativeFrameWriter()
    for number in [UInt32(24), 0, 1, 48, 0, 0] { frame.put(number) }
    for number in [memory.address, UInt64(memory.length), 0, 4096] { frame.put(number) }
    for number in [0, 1, NativeWire.noBacking, 0] { frame.put(number) }
    try connection.send(
      frame.frame(kind: NativeWire.Kind.attach.rawValue, descriptors: 1, id: 2), [memory.uffd!])
  }

  func byte(_ page: Int) -> UInt8? { memory.byte(page) }

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
}

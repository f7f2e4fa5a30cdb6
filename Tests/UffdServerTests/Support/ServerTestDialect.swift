// SPDX-License-Identifier: Apache-2.0
// A dialect that tests of the server speak, two bytes a request, and one without answers.
import UffdHost

@testable import UffdServer

/// Begins with `TEST`. A request is a letter and a digit: A attaches that many regions with the
/// first descriptor, N adds that many, R removes the region of that number, P, D, X and S ask for
/// progress, a drain, to be left alone, the server's state. Anything else is refused. An answer is
/// a line.
struct ServerTestDialect: Dialect {
  static let name = "test"
  static let mostBytes = 64
  private var isGreeted = false

  static func recognise(_ bytes: [UInt8]) -> Recognition { recognise(bytes, "TEST") }
  static func recognise(_ bytes: [UInt8], _ magic: String) -> Recognition {
    let magic = Array(magic.utf8)
    if bytes.count < magic.count { return magic.starts(with: bytes) ? .needsMore : .no }
    return bytes.starts(with: magic) ? .yes : .no
  }

  mutating func greeting(_ object: ServedObject, mostDescriptors: Int) -> [UInt8] {
    Array("hello\n".utf8)
  }

  mutating func next(_ inbox: inout Inbox) throws(Refusal) -> ClientRequest? {
    if !isGreeted {
      inbox.bytes.removeFirst(4)
      isGreeted = true
    }
    // Zeroes are a request that never ends.
    guard inbox.bytes.count >= 2, inbox.bytes[0] != 0 else { return nil }
    let letter = inbox.bytes[0]
    let count = UInt64(inbox.bytes[1]) &- 0x30
    inbox.bytes.removeFirst(2)
    let action: ClientAction
    switch letter {
    case UInt8(ascii: "A"):
      guard let uffd = inbox.descriptors.first else { throw Refusal("no descriptor came") }
      inbox.descriptors.removeFirst()
      action = .attach(uffd: uffd, regions: Self.regions(count), backings: [])
    case UInt8(ascii: "N"):
      action = .addRegions(Self.regions(count, from: 100), backings: [])
    case UInt8(ascii: "R"):
      action = .removeRegion(start: count << 20, length: 1 << 20)
    case UInt8(ascii: "P"): action = .progress
    case UInt8(ascii: "D"): action = .drain
    case UInt8(ascii: "X"): action = .detach
    case UInt8(ascii: "S"): action = .status
    default: throw Refusal("0x\(String(letter, radix: 16)) is no request")
    }
    return ClientRequest(id: count, action: action)
  }

  static func regions(_ count: UInt64, from first: UInt64 = 0) -> [ClientRegion] {
    (0..<count).map { ClientRegion(start: (first + $0) << 20, length: 1 << 20, offset: 0) }
  }

  func encode(_ reply: ClientReply, to id: UInt64) -> [UInt8] {
    let line =
      switch reply {
      case .done(let session): "done \(session)"
      case .refused(let reason): "refused \(reason)"
      case .progress(let progress): "progress \(progress.phase.rawValue) \(progress.bytes)"
      case .status(let json): "status \(json.utf8.count)\n" + json
      }
    return Array((line + "\n").utf8)
  }
}

/// The same requests behind `MUTE`, and no answer to any.
struct MuteTestDialect: Dialect {
  static let name = "mute"
  static let mostBytes = 64
  private var spoken = ServerTestDialect()

  static func recognise(_ bytes: [UInt8]) -> Recognition {
    ServerTestDialect.recognise(bytes, "MUTE")
  }
  mutating func greeting(_ object: ServedObject, mostDescriptors: Int) -> [UInt8] { [] }
  mutating func next(_ inbox: inout Inbox) throws(Refusal) -> ClientRequest? {
    try spoken.next(&inbox)
  }
  func encode(_ reply: ClientReply, to id: UInt64) -> [UInt8] { [] }
}

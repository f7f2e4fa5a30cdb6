// SPDX-License-Identifier: Apache-2.0
// A dialect that hands over the memory of many processes on one connection, as CRIU's restorer does.
import UffdHost

@testable import UffdServer

/// For each process 24 bytes, its userfaultfd on the first of them: the pid as an i32, an i32 that is 0, start and
/// length of its one region, which CRIU leaves to its images. Nothing is answered.
struct RestorerTestDialect: Dialect {
  static let name = "restorer"
  static let mostBytes = 24
  static let handsOverSeveral = true
  private static let mostPid: Int32 = 1 << 22

  static func recognise(_ bytes: [UInt8]) -> Recognition {
    if bytes.count < 4 { return .needsMore }
    return (1...mostPid).contains(Int32(truncatingIfNeeded: number(bytes[..<4]))) ? .yes : .no
  }

  mutating func greeting(_ object: ServedObject, mostDescriptors: Int) -> [UInt8] { [] }

  mutating func next(_ inbox: inout Inbox) throws(Refusal) -> ClientRequest? {
    guard inbox.bytes.count >= 24 else { return nil }
    guard let uffd = inbox.descriptors.first else { throw Refusal("no descriptor came") }
    let (pid, start, length) = (
      Self.number(inbox.bytes[..<4]), Self.number(inbox.bytes[8..<16]),
      Self.number(inbox.bytes[16..<24])
    )
    inbox.bytes.removeFirst(24)
    inbox.descriptors.removeFirst()
    return ClientRequest(
      id: 0,
      action: .attach(
        uffd: uffd, regions: [ClientRegion(start: start, length: length, offset: 0)], backings: [],
        pid: Int32(truncatingIfNeeded: pid)))
  }

  func encode(_ reply: ClientReply, to id: UInt64) -> [UInt8] { [] }

  private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// What a restorer sends for one process.
  static func request(_ pid: Int32, _ start: UInt64 = 1 << 20, _ length: UInt64 = 1 << 20)
    -> [UInt8]
  {
    [UInt64(UInt32(bitPattern: pid)), start, length].flatMap { number in
      (0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
    }
  }
}

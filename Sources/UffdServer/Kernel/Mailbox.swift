// SPDX-License-Identifier: Apache-2.0
// What readers tell the server's thread: a list and a bell.
import Synchronization
import UffdHost

/// Something that is over.
enum Notice: Sendable {
  /// What a connection hands over was looked at, the hand-over of that number.
  case prepared(connection: UInt64, handOver: UInt64, Result<Prepared, HostError>)
  case ended(any ServedClient, Client.End)
  /// Regions are not watched any more, or why they still are.
  case removed(Removal, HostError?)
}

/// What was found to be right about a hand-over.
enum Prepared: Sendable {
  case client(Adoption)
  case regions(Addition)
}

/// Which regions, and who is to be told.
struct Removal: Sendable {
  let client: UInt64
  let connection: UInt64
  let request: UInt64
  let range: Range<UInt64>
}

/// Filled by any thread, emptied by the server's.
final class Mailbox: Sendable {
  private let bell: Bell
  private let notices = Mutex<[Notice]>([])
  var fd: Int32 { bell.fd }

  init() throws(Errno) { bell = try Bell() }

  func put(_ notice: Notice) {
    notices.withLock { $0.append(notice) }
    bell.ring()
  }

  func take() -> [Notice] {
    bell.clear()
    return notices.withLock { notices in
      defer { notices.removeAll() }
      return notices
    }
  }
}

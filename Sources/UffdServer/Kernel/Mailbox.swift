// SPDX-License-Identifier: Apache-2.0
// What readers tell the server's thread: a list and a bell.
import Synchronization
import UffdHost

/// Something of a client that is over.
enum Notice: Sendable {
  case ended(any ServedClient, Client.End)
  /// Regions are not watched any more, or why they still are.
  case removed(Removal, HostError?)
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

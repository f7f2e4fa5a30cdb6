// SPDX-License-Identifier: Apache-2.0
// What a dialect is: how a client says over a socket what it hands
// over, and how it is answered. Pure: bytes and descriptors in, requests out; nothing here knows a socket.
// A dialect is one file.
package import UffdHost

/// What has arrived on a connection and was not taken yet.
package struct Inbox {
  package var bytes: [UInt8] = []
  /// In the order of their arrival (SCM_RIGHTS).
  package var descriptors: [Descriptor] = []
  /// The client has closed its end (or shut it down): nothing follows.
  package var isClosed = false
  package init() {}

  var isEmpty: Bool { bytes.isEmpty && descriptors.isEmpty }
}

/// What a server serves, as far as clients are told.
package struct ServedObject: Sendable, Equatable {
  /// Bytes of content.
  package var size: UInt64
  /// Of the memory that can show it.
  package var pageSize: UInt64
  package init(size: UInt64, pageSize: UInt64) {
    self.size = size
    self.pageSize = pageSize
  }
}

/// Why a client is not served: one sentence.
package struct Refusal: Error, Equatable {
  package let reason: String
  package init(_ reason: String) { self.reason = reason }
}

/// What a client asks for.
package enum ClientAction {
  /// Serve these regions of this uffd. Of the others, `ClientRegion.backing` is the index in `backings`. The
  /// memory is of the process `pid`, in the server's pid namespace; nil: of the one that connected.
  case attach(
    uffd: Descriptor, regions: [ClientRegion], backings: [Descriptor], pid: Int32? = nil)
  case addRegions([ClientRegion], backings: [Descriptor])
  case removeRegion(start: UInt64, length: UInt64)
  case progress
  /// Fill everything, stop watching, let go.
  case drain
  case detach
  /// The whole server's state, as JSON.
  case status
}

package struct ClientRequest {
  /// Of the request, for the answer; 0 in dialects without.
  package let id: UInt64
  package let action: ClientAction
  package init(id: UInt64, action: ClientAction) {
    self.id = id
    self.action = action
  }
}

/// What a client is answered.
package enum ClientReply: Equatable {
  /// The attach, add, remove, drain or detach is done. `session` names the client in logs and in `status`.
  case done(session: UInt64)
  case refused(String)
  case progress(ClientProgress)
  /// JSON.
  case status(String)
}

/// Whether a stream is in a dialect.
package enum Recognition { case yes, no, needsMore }

/// One connection's state in one dialect. A value: what it has understood so far.
package protocol Dialect: Sendable {
  /// As in `--dialect NAME` and in logs.
  static var name: String { get }
  /// Decides from the first bytes of a stream. `.needsMore` only for a prefix of something that it would
  /// accept.
  static func recognise(_ bytes: [UInt8]) -> Recognition
  /// Most bytes of one request that may be waiting in the inbox.
  static var mostBytes: Int { get }
  /// Whether one connection hands over several userfaultfds. Each becomes a session of its own, and what goes
  /// wrong with one is no matter of the others. Such a dialect asks for `.attach` and `.status` alone, for any
  /// other request is about the one session that a connection has.
  static var handsOverSeveral: Bool { get }
  init()
  /// Takes one request from the front of the inbox; nil: more has to arrive (or, if the inbox is closed,
  /// nothing will). Descriptors that the request does not want are taken and dropped, which closes them; one
  /// whose request is not whole yet stays in the inbox, for it is kept if the request is refused.
  mutating func next(_ inbox: inout Inbox) throws(Refusal) -> ClientRequest?
  /// What is written before any request is answered, once the dialect is recognised; most write nothing. So
  /// many descriptors may wait in the inbox.
  mutating func greeting(_ object: ServedObject, mostDescriptors: Int) -> [UInt8]
  /// The answer's bytes; empty in dialects that have no answers.
  func encode(_ reply: ClientReply, to id: UInt64) -> [UInt8]
}

extension Dialect {
  package static var handsOverSeveral: Bool { false }
}

// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// How a server serves. The defaults are those of `uffdhost serve`.
package struct ServerOptions: Sendable, Equatable {
  /// Nil: whichever the first bytes of a client are in.
  package var dialect: String?
  /// Who may connect beside root and the user of this process.
  package var allowedUsers: [ClosedRange<UInt32>] = []
  package var mostClients = 1024
  /// Of one client and all that descend from it by fork, so that it does not keep others out.
  package var mostOfFamily: Int { max(16, mostClients / 4) }
  /// Of one client.
  package var mostRegions = 512
  /// Connections that have not handed anything over yet.
  package var mostHandshakes = 64
  package var handshakeNanoseconds: UInt64 = 10_000_000_000
  /// How long the end may take before pages that are still missing are poisoned.
  package var drainNanoseconds: UInt64 = 60_000_000_000
  /// For the shell, started once clients can connect; its end is the end of the server.
  package var command: String?
  package var exitsWithParent = false
  /// The parent as it was when the options were read: whoever waits for the socket may end as soon as it is there.
  package let parent: Int32 = getppid()
  /// A client whose hand-off is refused, and whose dialect cannot tell it so, is killed and not
  /// left waiting.
  package var killsRefused = false
  /// How often a server that ends says what it waits for.
  package var tickNanoseconds: UInt64 = 5_000_000_000
  package init() {}
}

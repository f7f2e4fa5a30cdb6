// SPDX-License-Identifier: Apache-2.0
// What the server knows of a client beyond what the client's own object knows. The server's thread.
import UffdHost

struct Session {
  let client: any ServedClient
  /// Of its uffd, which nobody else may hand over while it is served.
  let uffd: FileIdentity
  /// When it was handed over, of CLOCK_MONOTONIC.
  let since: UInt64
  /// Where it was handed over, as long as that is open.
  var connection: UInt64?
  /// Regions that it has, for the cap.
  var regions: [Range<UInt64>]
  /// Drains that are to be answered when it ends.
  var drainRequests: [UInt64] = []
  var isDetached = false

  var subject: LogSubject {
    LogSubject(client: client.id, pid: client.identity.pid, dialect: client.identity.dialect)
  }
}

/// What has happened since the server began.
struct ServerCounts: Sendable, Equatable {
  var connections: UInt64 = 0
  var clients: UInt64 = 0
  var refused: UInt64 = 0
  var drained: UInt64 = 0
  var gone: UInt64 = 0
  /// Bytes of clients that were let go with pages that could not be had.
  var poisonedBytes: UInt64 = 0
}

// SPDX-License-Identifier: Apache-2.0
// What the fault path knows of a session: one uffd and the regions that it watches, plain data at a fixed
// address. The session of this process is read by every reader; that of a client belongs to one.

/// One uffd.
@safe struct SessionRecord {
  let calls: UffdCalls
  /// A client's begins as none; its reader changes it (`Reader.exclude`).
  var exclusion: Exclusion
  var table = RegionTable()
  /// Of a client's session; the readers count what happens in this process themselves.
  let counters: Counters
  let latency: LatencyRecord
  /// Where the first touches of a client's regions are noted; nil: it is not recorded.
  let touches: TouchTable?
  /// The client; nil for this process. Rare paths only; it keeps itself alive until its reader lets go.
  let client: Unmanaged<Client>?
  /// Only content of its own process may be looked for in its page map.
  var isOwnProcess: Bool { unsafe client == nil }
  /// An install found that the memory is gone (ESRCH).
  var isSuspect = false
  /// Its turn is not read before this moment, in nanoseconds of CLOCK_MONOTONIC: the kernel could not hand
  /// out what it has.
  var pausedUntil: UInt64 = 0
  /// The session has ended, and is freed at the end of the reader's turn.
  var hasEnded = false
  /// Questions of a client that wait or that a worker has. Its reader counts them.
  var openQuestions = 0
  /// Turns so far, each sixteenth of which is timed, and what had been put off before it.
  var turns: UInt64 = 0
  var putOffBefore: UInt64 = 0
}

typealias SessionPointer = UnsafeMutablePointer<SessionRecord>

extension SessionPointer {
  /// The version of its region table, which may be changing.
  @inline(__always)
  var tableVersion: UInt64 {
    unsafe AtomicWord(pointer(to: \.table.version)!).relaxed
  }
}

/// A session on its way to a reader.
@safe struct SessionReference: @unchecked Sendable {
  let session: SessionPointer
}

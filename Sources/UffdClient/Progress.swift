// SPDX-License-Identifier: Apache-2.0
import CUffdClient

/// How far a server is with a client's memory. Taken while it works on; two numbers may be a fault apart.
public struct Progress: Sendable, Equatable {
  public enum Phase: UInt32, Sendable {
    case serving = 1
    case draining = 2
    /// Everything is there, and the server watches nothing any more.
    case drained = 3
    /// The server was asked to stop.
    case detached = 4
    case gone = 5
  }
  /// Nil: one that this client does not know.
  public let phase: Phase?

  /// Of all memory, in bytes: the sum of the four that follow.
  public let bytes: UInt64
  /// Not there yet.
  public let missing: UInt64
  public let resident: UInt64
  /// Could not be had: SIGBUS for whoever touches it.
  public let poisoned: UInt64
  /// Given back with madvise(2); reads zero.
  public let discarded: UInt64

  /// Faults so far: nothing was there, or the memfd had the page already.
  public let missingFaults: UInt64
  public let minorFaults: UInt64
  /// Faults that wait at this moment.
  public let parked: UInt64

  init(_ progress: uffd_client_progress) {
    phase = Phase(rawValue: progress.phase)
    bytes = progress.bytes
    missing = progress.missing
    resident = progress.resident
    poisoned = progress.poisoned
    discarded = progress.discarded
    missingFaults = progress.faults_missing
    minorFaults = progress.faults_minor
    parked = progress.parked
  }
}

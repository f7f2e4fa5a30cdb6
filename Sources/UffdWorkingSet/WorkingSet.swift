// SPDX-License-Identifier: Apache-2.0
// Which granules of an object a program touched, in the order in which
// it first did, and when. As a value: the file that holds it is WorkingSetFile.swift, its bytes are
// WorkingSet+Encoding.swift and docs/workingset.md.

/// The working set of one recorded run.
public struct WorkingSet: Sendable, Equatable {
  /// The first touch of a granule.
  public struct Entry: Sendable, Equatable {
    /// Which granule of the object.
    public var pgoff: UInt64
    /// When, in microseconds since the recording began.
    public var microseconds: UInt64

    public init(pgoff: UInt64, microseconds: UInt64) {
      self.pgoff = pgoff
      self.microseconds = microseconds
    }
  }

  /// The content that it belongs to.
  public var identity: ContentIdentity
  /// Who served it, for people.
  public var provider: String
  /// Bytes.
  public var granule: UInt64
  /// Bytes.
  public var objectSize: UInt64
  /// When the recording ended, in seconds since 1970.
  public var recordedAt: UInt64
  /// How long it took.
  public var microseconds: UInt64
  /// Each granule once, in the order of their first touches.
  public var entries: [Entry]

  public init(
    identity: ContentIdentity, provider: String, granule: UInt64, objectSize: UInt64,
    recordedAt: UInt64 = 0, microseconds: UInt64 = 0, entries: [Entry] = []
  ) {
    self.identity = identity
    self.provider = provider
    self.granule = granule
    self.objectSize = objectSize
    self.recordedAt = recordedAt
    self.microseconds = microseconds
    self.entries = entries
  }

  /// Granules of the object.
  public var granules: UInt64 { objectSize == 0 ? 0 : (objectSize - 1) / granule + 1 }
  /// Bytes of all touched granules together.
  public var bytes: UInt64 { UInt64(entries.count) * granule }

  /// Granules between two runs that are filled along with them.
  static let bridging: UInt64 = 0

  /// What to fill: the touched granules in ascending order, neighbours as one run. The set repeats from run
  /// to run and the order does not, so the order of the touches is not followed. Runs with at most
  /// `bridging` granules between them become one, and what lies between is filled too.
  public func runs(bridging: UInt64 = 0) -> [Range<UInt64>] {
    var runs: [Range<UInt64>] = []
    for pgoff in entries.map(\.pgoff).sorted() {
      if let last = runs.last, pgoff - last.upperBound <= bridging {
        runs[runs.count - 1] = last.lowerBound..<(pgoff + 1)
      } else {
        runs.append(pgoff..<(pgoff + 1))
      }
    }
    return runs
  }
}

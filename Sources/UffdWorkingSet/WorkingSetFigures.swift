// SPDX-License-Identifier: Apache-2.0
// What can be said about a working set: how much, how scattered, in which order, when. Pure.

/// The figures of one working set.
public struct WorkingSetFigures: Sendable, Equatable {
  /// How many runs have a length in [from, 2 * from), and how many granules they are together.
  public struct Lengths: Sendable, Equatable {
    public var from: UInt64
    public var runs: UInt64
    public var granules: UInt64
  }
  /// After how long so much of it had been touched.
  public struct Moment: Sendable, Equatable {
    public var percent: UInt64
    public var microseconds: UInt64
  }

  public var granules: UInt64 = 0
  public var runs: UInt64 = 0
  public var longestRun: UInt64 = 0
  public var lengths: [Lengths] = []
  /// Touches of the granule right behind the one that was touched before.
  public var sequential: UInt64 = 0
  /// The first touch, half of them, nine in ten, 99 of a hundred, the last.
  public var moments: [Moment] = []
  /// When the touches had become rare: after this moment comes a pause that is longer than any before and
  /// than all that went before together, or the end.
  public var settled: UInt64?
  /// Granules touched in each of equal parts of the object, and how many granules a part has.
  public var map: [UInt64] = []
  public var granulesPerPart: UInt64 = 1

  /// At most `parts` parts make the map.
  public init(_ set: WorkingSet, parts: Int = 256) {
    let entries = set.entries
    granules = UInt64(entries.count)
    for run in set.runs() {
      let length = run.upperBound - run.lowerBound
      let power = UInt64(1) << UInt64(63 - length.leadingZeroBitCount)
      runs += 1
      longestRun = max(longestRun, length)
      if let place = lengths.firstIndex(where: { $0.from == power }) {
        lengths[place].runs += 1
        lengths[place].granules += length
      } else {
        lengths.append(Lengths(from: power, runs: 1, granules: length))
      }
    }
    lengths.sort { $0.from < $1.from }
    for (one, next) in zip(entries, entries.dropFirst()) where one.pgoff + 1 == next.pgoff {
      sequential += 1
    }
    for percent in [0, 50, 90, 99, 100] where !entries.isEmpty {
      let index = max(0, (entries.count * percent + 99) / 100 - 1)
      moments.append(
        Moment(percent: UInt64(percent), microseconds: entries[index].microseconds))
    }
    settled = Self.settled(entries.map(\.microseconds), end: set.microseconds)
    granulesPerPart = max(1, (set.granules + UInt64(parts) - 1) / UInt64(parts))
    map = [UInt64](
      repeating: 0, count: Int((set.granules + granulesPerPart - 1) / granulesPerPart))
    for entry in entries { map[Int(entry.pgoff / granulesPerPart)] += 1 }
  }

  /// The last touch before the first pause that is as long as everything before it, and a tenth of a
  /// second.
  private static func settled(_ times: [UInt64], end: UInt64) -> UInt64? {
    guard let first = times.first else { return nil }
    for (time, next) in zip(times, times.dropFirst() + [end]) {
      if next - time >= max(100_000, time - first) { return time }
    }
    return nil
  }
}

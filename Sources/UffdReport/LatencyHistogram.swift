// SPDX-License-Identifier: Apache-2.0
// Where a touching thread records how long each touch took: one histogram per thread, merged at the end.
// Log-linear buckets as in HdrHistogram: every power of two is cut into 32, so a bucket is at most 1/32
// (3.2 %) of its value wide. 15 KiB, fixed. Recording allocates nothing and takes no lock.

/// Counts durations in nanoseconds, from 0 to 2^64 - 1.
///
/// The memory is plain old data in which all zeroes is the empty histogram, so it may lie in memory shared
/// with a child process that records into it.
@safe public struct LatencyHistogram: ~Copyable, @unchecked Sendable {
  static let subBucketBits = 5
  static let bucketCount = (64 - subBucketBits + 1) << subBucketBits

  /// How many bytes `init(at:)` needs: count, sum, maximum and the buckets.
  public static let byteCount = (3 + bucketCount) * MemoryLayout<UInt64>.stride

  // SAFETY: `words` is valid for `byteCount` bytes from init to deinit, and this value is its only user:
  // not copyable, every change through `mutating`. Hence also the `Sendable` above.
  private let words: UnsafeMutablePointer<UInt64>
  private let isOwner: Bool

  private static let countWord = 0
  private static let sumWord = 1
  private static let maximumWord = 2
  private static let firstBucket = 3

  public init() {
    let words = UnsafeMutablePointer<UInt64>.allocate(capacity: Self.firstBucket + Self.bucketCount)
    unsafe words.initialize(repeating: 0, count: Self.firstBucket + Self.bucketCount)
    unsafe self.words = words
    isOwner = true
  }

  /// A view of `byteCount` bytes that somebody else owns, aligned to 8; zeroes there are an empty histogram.
  /// The memory must outlive the view, and one process at a time may record.
  public init(at memory: UnsafeMutableRawPointer) {
    precondition(UInt(bitPattern: memory) % UInt(MemoryLayout<UInt64>.alignment) == 0)
    unsafe words = memory.bindMemory(
      to: UInt64.self, capacity: Self.firstBucket + Self.bucketCount)
    isOwner = false
  }

  deinit {
    if isOwner { unsafe words.deallocate() }
  }

  public var count: UInt64 { unsafe words[Self.countWord] }
  /// Exact, unlike the percentiles.
  public var maximum: UInt64 { unsafe words[Self.maximumWord] }
  /// Exact unless the sum passed 2^64 nanoseconds (584 years).
  public var mean: UInt64 { count == 0 ? 0 : unsafe words[Self.sumWord] / count }

  public mutating func record(_ nanoseconds: UInt64) {
    unsafe words[Self.countWord] &+= 1
    unsafe words[Self.sumWord] &+= nanoseconds
    unsafe words[Self.maximumWord] = max(words[Self.maximumWord], nanoseconds)
    unsafe words[Self.firstBucket &+ Self.bucket(of: nanoseconds)] &+= 1
  }

  public mutating func merge(_ other: borrowing LatencyHistogram) {
    unsafe words[Self.countWord] &+= other.words[Self.countWord]
    unsafe words[Self.sumWord] &+= other.words[Self.sumWord]
    unsafe words[Self.maximumWord] = max(
      words[Self.maximumWord], other.words[Self.maximumWord])
    for index in Self.firstBucket..<(Self.firstBucket + Self.bucketCount) {
      unsafe words[index] &+= other.words[index]
    }
  }

  /// The value that `percent` (0 to 100) of all durations do not exceed: the upper end of its bucket, so at
  /// most 3.2 % too large, never too small and never above `maximum`. 0 when nothing was recorded.
  public func percentile(_ percent: Double) -> UInt64 {
    precondition((0...100).contains(percent))
    guard count > 0 else { return 0 }
    let rank = max(1, UInt64(exactly: (percent / 100 * Double(count)).rounded(.up)) ?? count)
    var seen: UInt64 = 0
    for index in 0..<Self.bucketCount {
      unsafe seen &+= words[Self.firstBucket + index]
      if seen >= rank { return min(Self.upperBound(of: index), maximum) }
    }
    return maximum
  }

  /// What a report needs, as a plain value.
  public var summary: LatencySummary {
    var powers: [LatencySummary.Power] = []
    for exponent in 0..<64 {
      // Powers below 2^5 are made of buckets of one value each, those above of 32 buckets.
      let lower = UInt64(1) << UInt64(exponent)
      let first = exponent == 0 ? 0 : Self.bucket(of: lower)
      let last = Self.bucket(of: lower + (lower - 1))
      var count: UInt64 = 0
      for index in first...last { unsafe count &+= words[Self.firstBucket + index] }
      powers.append(LatencySummary.Power(exponent: exponent, count: count))
    }
    let used = powers.drop { $0.count == 0 }
    return LatencySummary(
      count: count, mean: mean, p50: percentile(50), p90: percentile(90), p99: percentile(99),
      p999: percentile(99.9), maximum: maximum,
      powers: used.lastIndex { $0.count > 0 }.map { Array(used[...$0]) } ?? [])
  }

  static func bucket(of value: UInt64) -> Int {
    let exponent = 63 &- (value | 1).leadingZeroBitCount
    let shift = exponent &- subBucketBits
    guard shift > 0 else { return Int(truncatingIfNeeded: value) }
    // Bit 5 of the shifted value is always set and counts as one step of the exponent.
    return (shift &<< subBucketBits) &+ Int(truncatingIfNeeded: value &>> UInt64(shift))
  }

  static func upperBound(of bucket: Int) -> UInt64 {
    let shift = (bucket >> subBucketBits) - 1
    guard shift > 0 else { return UInt64(bucket) }
    let lower = UInt64(bucket - (shift << subBucketBits)) << UInt64(shift)
    return lower + ((1 << UInt64(shift)) - 1)
  }
}

/// The numbers of a `LatencyHistogram`, all in nanoseconds.
public struct LatencySummary: Sendable, Equatable {
  /// How many durations were at least 2^exponent and less than twice that (0 counts to exponent 0).
  public struct Power: Sendable, Equatable {
    public var exponent: Int
    public var count: UInt64
    public init(exponent: Int, count: UInt64) {
      self.exponent = exponent
      self.count = count
    }
  }

  public var count: UInt64
  public var mean: UInt64
  public var p50: UInt64
  public var p90: UInt64
  public var p99: UInt64
  public var p999: UInt64
  public var maximum: UInt64
  /// From the first power that was seen to the last, empty ones in between included.
  public var powers: [Power]

  public init(
    count: UInt64 = 0, mean: UInt64 = 0, p50: UInt64 = 0, p90: UInt64 = 0, p99: UInt64 = 0,
    p999: UInt64 = 0, maximum: UInt64 = 0, powers: [Power] = []
  ) {
    self.count = count
    self.mean = mean
    self.p50 = p50
    self.p90 = p90
    self.p99 = p99
    self.p999 = p999
    self.maximum = maximum
    self.powers = powers
  }
}

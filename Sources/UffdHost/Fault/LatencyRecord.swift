// SPDX-License-Identifier: Apache-2.0
// How long the faults of a client took, from the read of their message to their install. One writer, the
// session's reader; anybody may look.

/// A histogram: 16 buckets for each power of two, so that a value is known to 6 %. In raw memory that
/// outlives it; all zeroes is the empty one.
@safe struct LatencyRecord: @unchecked Sendable {
  private let words: UnsafeMutablePointer<UInt64>
  private static let bits: UInt64 = 4
  private static let buckets = Int((64 - bits + 1) << bits)

  /// The longest, then the buckets.
  static var bytes: UInt64 { UInt64(buckets + 1) * 8 }

  init(_ memory: UnsafeMutableRawPointer) {
    unsafe words = memory.assumingMemoryBound(to: UInt64.self)
  }

  /// Notes that `weight` faults took this long. Only the session's reader calls it.
  func record(_ nanoseconds: UInt64, weight: UInt64) {
    let longest = unsafe AtomicWord(words)
    if nanoseconds > longest.relaxed { longest.relaxed = nanoseconds }
    let bucket = unsafe AtomicWord(words + 1 + Self.bucket(nanoseconds))
    bucket.relaxed = bucket.relaxed &+ weight
  }

  private static func bucket(_ value: UInt64) -> Int {
    if value < 1 << bits { return Int(value) }
    let exponent = UInt64(63 - value.leadingZeroBitCount)
    let mantissa = value >> (exponent - bits) & (1 << bits - 1)
    return Int((exponent - bits + 1) << bits + mantissa)
  }

  /// The largest value of a bucket.
  private static func limit(_ bucket: Int) -> UInt64 {
    let bucket = UInt64(bucket)
    if bucket < 1 << bits { return bucket }
    let shift = bucket >> bits - 1
    // The limit of the last bucket is 2^64 - 1.
    return ((1 << bits + bucket & (1 << bits - 1)) + 1) << shift &- 1
  }

  /// What was recorded so far, for people.
  var summary: LatencySummary {
    let longest = unsafe AtomicWord(words).relaxed
    var counts: [UInt64] = []
    for index in 0..<Self.buckets { unsafe counts.append(AtomicWord(words + 1 + index).relaxed) }
    let total = counts.reduce(0, +)
    func percentile(_ perMille: UInt64) -> UInt64 {
      var left = (total * perMille + 999) / 1000
      for (index, count) in counts.enumerated() where count > 0 {
        if count >= left { return min(Self.limit(index), longest) }
        left -= count
      }
      return longest
    }
    return LatencySummary(
      count: total, p50: percentile(500), p90: percentile(900), p99: percentile(990), max: longest)
  }
}

/// Durations in nanoseconds.
package struct LatencySummary: Sendable, Equatable {
  /// How many faults it speaks for.
  package var count: UInt64 = 0
  package var p50: UInt64 = 0
  package var p90: UInt64 = 0
  package var p99: UInt64 = 0
  package var max: UInt64 = 0
  package init() {}
  init(count: UInt64, p50: UInt64, p90: UInt64, p99: UInt64, max: UInt64) {
    self.count = count
    self.p50 = p50
    self.p90 = p90
    self.p99 = p99
    self.max = max
  }
}

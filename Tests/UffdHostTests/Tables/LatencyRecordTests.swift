// SPDX-License-Identifier: Apache-2.0
// The histogram of a client's faults: every value is known to 1/16, percentiles are those of a sorted list.

import Testing

@testable import UffdHost

@Suite("The latency record")
struct LatencyRecordTests {
  /// A record in memory of its own, which stays: it is a view.
  private static func make() -> LatencyRecord {
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: Int(LatencyRecord.bytes), alignment: 8)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: Int(LatencyRecord.bytes))
    return unsafe LatencyRecord(memory)
  }

  @Test("a single value comes back, at most a sixteenth too large, up to the largest number")
  func single() {
    var values: [UInt64] = [0, 1, 15, 16, 17, 31, 32, 33, 1000, 4_000_000_000, UInt64.max]
    for shift in 0..<64 as Range<UInt64> { values += [1 << shift, (1 << shift) &- 1] }
    for value in values {
      let record = Self.make()
      record.record(value, weight: 3)
      let summary = record.summary
      #expect(summary.count == 3)
      #expect(summary.max == value)
      #expect(summary.p50 == value && summary.p99 == value, "\(value)")
    }
  }

  @Test("percentiles of random values are those of the sorted list, to a sixteenth")
  func percentiles() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20 {
      let record = Self.make()
      var list: [UInt64] = []
      for _ in 0..<997 {
        let value = UInt64.random(in: 0..<(1 << UInt64.random(in: 1..<40, using: &random)))
        record.record(value, weight: 1)
        list.append(value)
      }
      list.sort()
      let summary = record.summary
      for (found, perMille) in [(summary.p50, 500), (summary.p90, 900), (summary.p99, 990)] {
        let exact = list[(997 * perMille + 999) / 1000 - 1]
        #expect(found >= exact && found <= exact + exact / 16 + 1)
      }
      #expect(summary.max == list.last)
    }
  }

  @Test("nothing recorded is all zeroes")
  func empty() { #expect(Self.make().summary == LatencySummary()) }
}

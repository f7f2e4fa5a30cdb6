// SPDX-License-Identifier: Apache-2.0
import Testing
import UffdReport

/// Numbers with the shape of latencies: many powers of two, seeded.
private func durations(_ count: Int, seed: UInt64) -> [UInt64] {
  var state = seed
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state >> 20) >> (state >> 58)
  }
}

private func exact(_ sorted: [UInt64], _ percent: Double) -> UInt64 {
  sorted[max(1, Int((percent / 100 * Double(sorted.count)).rounded(.up))) - 1]
}

@Test func `a percentile is never below the exact one and at most 3.2 % above`() {
  let values = durations(20_000, seed: 1)
  var histogram = LatencyHistogram()
  for value in values { histogram.record(value) }
  let sorted = values.sorted()
  for percent in [0, 1, 10, 50, 75, 90, 99, 99.9, 99.99, 100] {
    let truth = exact(sorted, percent)
    let found = histogram.percentile(percent)
    #expect(found >= truth && found <= truth + truth / 31, "p\(percent): \(found) of \(truth)")
  }
  #expect(histogram.count == 20_000)
  #expect(histogram.maximum == sorted.last)
  #expect(histogram.mean == values.reduce(0, &+) / 20_000)
}

@Test func `every duration of 64 bits has its bucket`() {
  var edges: [UInt64] = [0, .max]
  for shift: UInt64 in 0..<64 {
    edges += [(1 << shift) - 1, 1 << shift, (1 << shift) | (1 << (shift / 2))]
  }
  for value in edges {
    // A larger second value keeps the maximum from hiding the bucket's own bound.
    var histogram = LatencyHistogram()
    histogram.record(value)
    histogram.record(.max)
    let found = histogram.percentile(50)
    #expect(found >= value && found - value <= value / 32, "\(value): \(found)")
  }
}

@Test func `small durations are exact`() {
  for value: UInt64 in 0..<64 {
    var histogram = LatencyHistogram()
    histogram.record(value)
    histogram.record(1000)
    #expect(histogram.percentile(50) == value)
  }
}

@Test func `an empty histogram has only zeroes`() {
  let histogram = LatencyHistogram()
  #expect(histogram.summary == LatencySummary())
}

@Test func `merged histograms are the histogram of all`() {
  let values = durations(3000, seed: 7)
  var all = LatencyHistogram()
  var first = LatencyHistogram()
  var second = LatencyHistogram()
  for (index, value) in values.enumerated() {
    all.record(value)
    if index % 3 == 0 { first.record(value) } else { second.record(value) }
  }
  first.merge(second)
  #expect(first.summary == all.summary)
  #expect(second.count == 2000)
}

@Test func `zeroed memory of somebody else is an empty histogram`() {
  let memory = UnsafeMutableRawPointer.allocate(
    byteCount: LatencyHistogram.byteCount, alignment: 8)
  defer { unsafe memory.deallocate() }
  unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: LatencyHistogram.byteCount)
  do {
    var histogram = unsafe LatencyHistogram(at: memory)
    histogram.record(500)
    histogram.record(.max)
  }
  let again = unsafe LatencyHistogram(at: memory)
  #expect(again.count == 2 && again.maximum == .max)
}

@Test func `the powers hold every duration, from the first used to the last`() {
  var histogram = LatencyHistogram()
  for value: UInt64 in [0, 1, 2, 3, 16, 31, 32, 63, 64, 127, 128] { histogram.record(value) }
  let powers = histogram.summary.powers
  #expect(powers.map(\.exponent) == Array(0...7))
  #expect(powers.map(\.count) == [2, 2, 0, 0, 2, 2, 2, 1])
}

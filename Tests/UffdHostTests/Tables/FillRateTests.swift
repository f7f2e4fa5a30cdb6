// SPDX-License-Identifier: Apache-2.0
// How many bytes of a background fill may go at which moment: a table, without a kernel and without a clock.

import Testing

@testable import UffdHost

@Suite("The rate of background fills")
struct FillRateTests {
  private static let second: UInt64 = 1_000_000_000
  /// Somewhere in the middle, as CLOCK_MONOTONIC is.
  private static let start = 5000 * second

  @Test(
    "a piece is bounded, and a twentieth of a second of its rate",
    arguments: [
      (0, 256 << 10), (1, 4096), (81_920, 4096), (100_000, 5000), (1 << 20, 52_428),
      (1 << 30, 256 << 10), (.max, 256 << 10),
    ] as [(UInt64, UInt64)])
  func pieces(_ rate: UInt64, _ piece: UInt64) {
    var bucket = FillBucket(rate: rate)
    #expect(bucket.piece == piece)
    #expect(bucket.take(.max, Self.start) == piece)
    #expect(FillBucket.largestPiece == Reader.largestRun)
  }

  @Test("nothing goes before the last piece is paid, and then the next one at once")
  func turns() {
    var bucket = FillBucket(rate: 1 << 20)
    var now = Self.start
    // The first one of a bucket that was never used comes with the slack, and no more.
    #expect(bucket.take(.max, now) == 52_428)
    #expect(bucket.wait(now) == 49_999_237 - FillBucket.slackNanoseconds)
    #expect(bucket.take(.max, now) == 0)
    #expect(bucket.take(.max, now + bucket.wait(now) - 1) == 0)
    now += bucket.wait(now)
    #expect(bucket.wait(now) == 0)
    #expect(bucket.take(8192, now) == 8192)
    #expect(bucket.wait(now) == 7_812_500)
  }

  @Test(
    "as much goes in a second as the rate says, whatever the pieces and however late the timer",
    arguments: [4096, 100_000, 1 << 20, 10 << 20, 3 << 30] as [UInt64],
    [0, 50_000, 15_000_000] as [UInt64])
  func average(_ rate: UInt64, _ late: UInt64) {
    var bucket = FillBucket(rate: rate)
    var now = Self.start
    var filled: UInt64 = 0
    let seconds: UInt64 = rate < 1 << 20 ? 100 : 2
    while now < Self.start + seconds * Self.second {
      // What the reader does: a piece at a time, then it sleeps.
      let bytes = bucket.take(Reader.largestRun, now)
      filled += bytes
      if bytes == 0 { now += bucket.wait(now) + late }
    }
    let due = rate * seconds
    let most = due + rate / 50 + bucket.piece
    #expect(filled <= most, "\(filled) of \(due)")
    #expect(filled >= due - due / 50 - bucket.piece, "\(filled) of \(due)")
  }

  @Test("time that was not used is lost")
  func pause() {
    var bucket = FillBucket(rate: 10 << 20)
    _ = bucket.take(.max, Self.start)
    let later = Self.start + 60 * Self.second
    var burst: UInt64 = 0
    while bucket.wait(later) == 0 { burst += bucket.take(.max, later) }
    // The slack, and the piece that ends it.
    #expect(burst <= (10 << 20) / 50 + bucket.piece)
  }

  @Test("a piece that became another size is paid as what it was")
  func corrections() {
    var bucket = FillBucket(rate: 1000)
    #expect(bucket.take(.max, Self.start) == 4096)
    let paid = bucket.paid
    bucket.correct(4096, to: 2 << 20)
    #expect(bucket.paid == paid + ((2 << 20) - 4096) * 1_000_000)
    bucket.correct(2 << 20, to: 4096)
    #expect(bucket.paid == paid)
    bucket.correct(4096, to: 0)
    #expect(bucket.paid == paid - 4096 * 1_000_000)
    bucket.correct(4096, to: 4096)
    #expect(bucket.paid == paid - 4096 * 1_000_000)
  }

  @Test("no limit is no wait, and nothing overflows")
  func extremes() {
    var open = FillBucket(rate: 0)
    for _ in 0..<100 { #expect(open.take(.max, 0) == 256 << 10) }
    #expect(open.wait(0) == 0 && open.paid == 0)
    var slow = FillBucket(rate: 1)
    #expect(slow.take(.max, 0) == 4096)
    slow.correct(0, to: .max)
    #expect(slow.paid == .max && slow.take(.max, .max - 1) == 0)
  }
}

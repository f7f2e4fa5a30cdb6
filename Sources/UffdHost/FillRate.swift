// SPDX-License-Identifier: Apache-2.0
// How fast pages are filled that nobody waits for: a bucket that fills with time, as arithmetic, and the one
// bucket that all background fills of a host share.
import Synchronization

/// Which bytes may go when, at a rate. Pure: the caller has the clock.
///
/// It keeps the moment at which everything taken so far is paid for. So a piece goes whole as soon as the
/// ones before it are paid, whatever its size, and no time is too short to be counted.
struct FillBucket: Sendable, Equatable {
  /// Bytes a second; 0: no limit.
  let rate: UInt64
  /// In nanoseconds of CLOCK_MONOTONIC.
  private(set) var paid: UInt64 = 0

  /// What one install fills at most, whatever the rate: an event's sender waits while a COPY runs.
  static let largestPiece: UInt64 = 256 << 10
  private static let smallestPiece: UInt64 = 4096
  /// A twentieth of a second in one piece at most: slow is slow all the time, and not a burst now and then.
  private static let piecesPerSecond: UInt64 = 20
  /// Time that was not used counts for so long: a timer that is late does not make the rate smaller, and a
  /// fill that had nothing to do for a minute does not catch up on it.
  static let slackNanoseconds: UInt64 = 20_000_000

  /// The most that goes at once.
  var piece: UInt64 {
    rate == 0
      ? Self.largestPiece
      : min(Self.largestPiece, max(Self.smallestPiece, rate / Self.piecesPerSecond))
  }

  /// How long nothing may go.
  func wait(_ now: UInt64) -> UInt64 { rate > 0 && paid > now ? paid - now : 0 }

  /// Takes a piece out: its bytes, at most `most`, or 0, and then `wait` says for how long.
  mutating func take(_ most: UInt64, _ now: UInt64) -> UInt64 {
    guard wait(now) == 0 else { return 0 }
    let bytes = min(most, piece)
    paid = max(paid, now - min(now, Self.slackNanoseconds))
    add(cost(of: bytes))
    return bytes
  }

  /// It became a piece of another size: a granule is larger than all that was taken, or less was missing.
  mutating func correct(_ taken: UInt64, to used: UInt64) {
    if used > taken { add(cost(of: used - taken)) }
    if used < taken { paid -= min(paid, cost(of: taken - used)) }
  }

  private mutating func add(_ nanoseconds: UInt64) {
    let (sum, overflow) = paid.addingReportingOverflow(nanoseconds)
    paid = overflow ? .max : sum
  }

  private func cost(of bytes: UInt64) -> UInt64 {
    guard rate > 0 else { return 0 }
    let product = bytes.multipliedFullWidth(by: 1_000_000_000)
    return product.high >= rate ? .max : rate.dividingFullWidth(product).quotient
  }
}

/// The bucket of a host. Any thread.
final class FillPace: Sendable {
  let isLimited: Bool
  private let bucket: Mutex<FillBucket>

  init(bytesPerSecond rate: UInt64) {
    isLimited = rate > 0
    bucket = Mutex(FillBucket(rate: rate))
  }

  func wait(_ now: UInt64) -> UInt64 {
    isLimited ? bucket.withLock { $0.wait(now) } : 0
  }

  func take(_ most: UInt64) -> UInt64 {
    guard isLimited else { return most }
    let now = monotonicNanoseconds()
    return bucket.withLock { $0.take(most, now) }
  }

  func correct(_ taken: UInt64, to used: UInt64) {
    if isLimited { bucket.withLock { $0.correct(taken, to: used) } }
  }
}

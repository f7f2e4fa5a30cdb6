// SPDX-License-Identifier: Apache-2.0
// How often something may be said that others cause: a few at once, then so many a second. Pure.

/// A token bucket that counts what it left out.
struct RateLimit: Sendable {
  private let most: UInt64
  private let nanosecondsEach: UInt64
  private var tokens: UInt64
  private var lastRefill: UInt64?
  private var leftOut: UInt64 = 0

  init(atOnce most: UInt64, perSecond rate: UInt64) {
    self.most = most
    nanosecondsEach = 1_000_000_000 / rate
    tokens = most
  }

  /// Nil: not now. Else how many were left out since the last that was let through.
  mutating func admit(now: UInt64) -> UInt64? {
    let last = lastRefill ?? now
    let refilled = (now - min(now, last)) / nanosecondsEach
    if tokens + refilled >= most {
      tokens = most
      lastRefill = now
    } else {
      tokens += refilled
      lastRefill = last + refilled * nanosecondsEach
    }
    guard tokens > 0 else {
      leftOut += 1
      return nil
    }
    tokens -= 1
    defer { leftOut = 0 }
    return leftOut
  }
}

/// One limit for each user who may cause lines, so that none of them can hide what the others do.
struct RateLimits: Sendable {
  private static let mostUsers = 1024
  private let fresh: RateLimit
  private var limits: [UInt32: RateLimit] = [:]

  init(_ fresh: RateLimit) { self.fresh = fresh }

  mutating func admit(_ user: UInt32, now: UInt64) -> UInt64? {
    // Users of a namespace are cheap; what they did before is forgotten then.
    if limits.count >= Self.mostUsers, limits[user] == nil { limits.removeAll() }
    return limits[user, default: fresh].admit(now: now)
  }
}

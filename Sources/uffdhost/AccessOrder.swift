// SPDX-License-Identifier: Apache-2.0
// The order in which a run touches the granules of a region: sequential, random or zipf. No order is ever
// stored: an index is computed when it is asked for, in constant memory, so 1 TiB needs no table. The same
// seed gives the same order. Each touching thread iterates over its own share.

// For exp and log of the zipf distribution.
import Glibc

enum AccessPattern: String, Sendable, CaseIterable {
  /// Every granule once, ascending; each thread has one contiguous slice.
  case sequential
  /// Every granule once, in the order of a seeded permutation that the threads walk through in turns.
  case random
  /// As many draws as there are granules, with few of them hot: rank k is drawn in proportion to 1 / k^0.99,
  /// and the permutation scatters the ranks over the region. Some granules come often, some never.
  case zipf
}

struct AccessOrder: Sendable {
  let pattern: AccessPattern
  let count: UInt64
  let seed: UInt64

  /// What thread `thread` of `threads` touches. The shares of all threads have `count` touches together.
  func share(ofThread thread: Int, of threads: Int) -> Share {
    precondition(threads > 0 && (0..<threads).contains(thread))
    return Share(self, UInt64(thread), UInt64(threads))
  }

  struct Share: Sequence, IteratorProtocol, Sendable {
    private let pattern: AccessPattern
    private let permutation: Permutation
    private var zipf: Zipf
    private var position: UInt64
    private let stride: UInt64
    private var left: UInt64

    fileprivate init(_ order: AccessOrder, _ thread: UInt64, _ threads: UInt64) {
      pattern = order.pattern
      permutation = Permutation(count: order.count, seed: order.seed)
      let (quotient, remainder) = order.count.quotientAndRemainder(dividingBy: threads)
      left = quotient + (thread < remainder ? 1 : 0)
      stride = threads
      switch order.pattern {
      case .sequential: position = thread * quotient + Swift.min(thread, remainder)
      case .random, .zipf: position = thread
      }
      var mixer = SplitMix(state: order.seed)
      let own = mixer.next() &+ thread
      zipf = Zipf(count: Swift.max(1, order.count), generator: SplitMix(state: own))
    }

    /// How many touches are to come.
    var underestimatedCount: Int { Int(clamping: left) }

    mutating func next() -> UInt64? {
      guard left > 0 else { return nil }
      left -= 1
      switch pattern {
      case .sequential:
        defer { position &+= 1 }
        return position
      case .random:
        defer { position &+= stride }
        return permutation[position]
      case .zipf:
        return permutation[zipf.next() - 1]
      }
    }
  }
}

/// A seeded bijection of 0..<count onto itself: steps that are each invertible on the next power of two,
/// walked again while they lead outside (fewer than two walks on average).
struct Permutation: Sendable {
  let count: UInt64
  private let mask: UInt64
  private let shift: UInt64
  private let factors: (UInt64, UInt64, UInt64)
  private let addends: (UInt64, UInt64, UInt64)

  init(count: UInt64, seed: UInt64) {
    self.count = count
    let bits = count < 2 ? 0 : 64 - (count - 1).leadingZeroBitCount
    mask = (1 << UInt64(bits)) &- 1
    shift = UInt64(max(1, (bits + 1) / 2))
    var random = SplitMix(state: seed)
    // An odd factor has an inverse modulo a power of two.
    factors = (random.next() | 1, random.next() | 1, random.next() | 1)
    addends = (random.next(), random.next(), random.next())
  }

  subscript(index: UInt64) -> UInt64 {
    precondition(index < count)
    var value = index
    repeat {
      value = step(value, factors.0, addends.0)
      value = step(value, factors.1, addends.1)
      value = step(value, factors.2, addends.2)
    } while value >= count
    return value
  }

  private func step(_ value: UInt64, _ factor: UInt64, _ addend: UInt64) -> UInt64 {
    let product = (value &* factor &+ addend) & mask
    return product ^ (product &>> shift)
  }
}

/// Draws ranks from 1 to `count` by rejection-inversion (Hoermann and Derflinger 1996): constant memory and
/// about one try per draw, whatever the count.
struct Zipf: Sendable {
  static let exponent = 0.99

  private let count: UInt64
  private let lowest: Double
  private let highest: Double
  private let shortcut: Double
  private var generator: SplitMix

  init(count: UInt64, generator: SplitMix) {
    precondition(count > 0)
    self.count = count
    self.generator = generator
    lowest = Self.integral(1.5) - 1
    highest = Self.integral(Double(count) + 0.5)
    shortcut = 2 - Self.inverseIntegral(Self.integral(2.5) - Self.density(2))
  }

  mutating func next() -> UInt64 {
    while true {
      let area = highest + generator.nextUnit() * (lowest - highest)
      let exact = Self.inverseIntegral(area)
      let rank = min(max(exact.rounded(), 1), Double(count))
      if rank - exact <= shortcut || area >= Self.integral(rank + 0.5) - Self.density(rank) {
        // Double(count) may round up beyond the count.
        return min(UInt64(exactly: rank) ?? count, count)
      }
    }
  }

  /// x^-exponent, its integral and the integral's inverse, in forms that stay exact near exponent 1.
  private static func density(_ x: Double) -> Double { exp(-exponent * log(x)) }

  private static func integral(_ x: Double) -> Double {
    let logarithm = log(x)
    return expm1((1 - exponent) * logarithm) / (1 - exponent)
  }

  private static func inverseIntegral(_ area: Double) -> Double {
    exp(log1p(max(-1, area * (1 - exponent))) / (1 - exponent))
  }
}

/// Steele, Lea and Flood's generator: one addition and three mixing steps per number, any seed is good.
struct SplitMix: Sendable {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed &>> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed &>> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed &>> 31)
  }

  /// From 0 to just below 1.
  mutating func nextUnit() -> Double { Double(next() &>> 11) * 0x1p-53 }
}

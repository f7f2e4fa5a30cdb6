// SPDX-License-Identifier: Apache-2.0
// Figures of several repetitions as one: the median, and how far the middle half lies apart. Pure.

/// Median and quartiles.
public struct Spread: Equatable, Sendable {
  public var median: Double
  /// Between them lies the middle half of the figures.
  public var lower: Double
  public var upper: Double

  public init(median: Double, lower: Double, upper: Double) {
    (self.median, self.lower, self.upper) = (median, lower, upper)
  }

  /// Nil: there are no figures.
  public init?(_ figures: [Double]) {
    guard !figures.isEmpty else { return nil }
    let sorted = figures.sorted()
    median = Self.quantile(sorted, 0.5)
    lower = Self.quantile(sorted, 0.25)
    upper = Self.quantile(sorted, 0.75)
  }

  /// The distance of the quartiles as a part of the median.
  public var relative: Double { median == 0 ? 0 : (upper - lower) / median }

  /// Between two figures in proportion.
  private static func quantile(_ sorted: [Double], _ part: Double) -> Double {
    let place = Double(sorted.count - 1) * part
    let below = Int(place)
    let above = min(below + 1, sorted.count - 1)
    return sorted[below] + (sorted[above] - sorted[below]) * (place - Double(below))
  }
}

// SPDX-License-Identifier: Apache-2.0
// A line of the report: one subject in one case, placement and number of threads. Pure.
import UffdReport

/// What was measured for one subject.
public struct Row: Equatable, Sendable {
  /// Which figure a ratio is of.
  public enum RatioOf: String, Sendable {
    /// The median touch of a page.
    case p50
    /// The time of everything, for each page.
    case time
  }

  public var caseName: String
  public var subject: Subject
  public var placement: Placement
  public var threads: Int
  /// Nanoseconds of a page's first touch, or of a message, or of the start.
  public var p50: Double
  public var mean: Double
  public var p99: Double
  public var pagesPerSecond: Double
  public var bytesPerSecond: Double
  /// Against `c` of the same case, placement and threads, round by round; above 1 is slower than `c`.
  public var ratio: Spread?
  public var ratioOf: RatioOf
  /// Bytes that were touched or filled in one repetition, and those that were installed for them.
  public var bytes: Double
  public var installed: Double
  public var rounds: Int
  /// Why the figures are not to be trusted.
  public var doubts: [Doubt] = []

  /// Nanoseconds for a page with everything counted.
  public var nanosecondsPerPage: Double { pagesPerSecond == 0 ? 0 : 1e9 / pagesPerSecond }
}

/// A reason not to trust a row.
public enum Doubt: Equatable, Sendable {
  /// The quartiles are this part of the median apart.
  case spread(Double)
  /// Others used this part of a CPU meanwhile.
  case load(Double)
  /// Less work was done than by others: so many bytes of all.
  case unfilled(UInt64, of: UInt64)

  /// What follows after a row's name.
  public var text: String {
    switch self {
    case .spread(let part): "the quartiles are \(Self.percent(part)) of the median apart"
    case .load(let part): "others used \(Self.percent(part)) of a CPU meanwhile"
    case .unfilled(let left, let all):
      "\(Units.bytes(left)) of \(Units.bytes(all)) were left for the kernel to map"
    }
  }

  static func percent(_ part: Double) -> String { "\(Int((part * 100).rounded())) %" }
}

/// What a round left behind: a sample of each subject that could be measured.
typealias Round = [Subject: Sample]

/// One case with a number of threads and a placement.
struct Variant: Sendable {
  var benchCase: BenchCase
  var threads: Int
  var placement: Placement

  /// Rows of the subjects, in the case's order.
  func rows(_ rounds: [Round]) -> [Row] {
    benchCase.subjects.compactMap { subject in
      let samples = rounds.compactMap { $0[subject] }
      guard !samples.isEmpty else { return nil }
      func median(_ figure: (Sample) -> Double) -> Double {
        Spread(samples.map(figure))?.median ?? 0
      }
      // A message of the language cases takes a few nanoseconds: those samples are in hundredths.
      let unit = benchCase.kind == .language ? 100.0 : 1
      var row = Row(
        caseName: benchCase.name, subject: subject, placement: placement, threads: threads,
        p50: median { Double($0.p50) / unit }, mean: median { Double($0.mean) / unit },
        p99: median { Double($0.p99) / unit },
        pagesPerSecond: median { Self.perSecond($0.touched, $0) },
        bytesPerSecond: median { Self.perSecond($0.bytes, $0) },
        ratio: ratio(subject, rounds), ratioOf: comparesMedian ? .p50 : .time,
        bytes: median { Double($0.bytes) }, installed: median { Double($0.installed) },
        rounds: samples.count)
      row.doubts = doubts(samples)
      return row
    }
  }

  /// Whether more rounds would say more: the quartiles of a ratio are more than a tenth of it apart.
  func isUnsteady(_ rounds: [Round]) -> Bool {
    benchCase.subjects.contains { ratio($0, rounds)?.relative ?? 0 > Self.mostSpread }
  }

  private var comparesMedian: Bool { benchCase.comparesMedian(threads: threads) }

  private static func perSecond(_ count: UInt64, _ sample: Sample) -> Double {
    sample.elapsed == 0 ? 0 : Double(count) * 1e9 / Double(sample.elapsed)
  }

  /// What is compared: nanoseconds for a page.
  private func cost(_ sample: Sample) -> Double {
    comparesMedian
      ? Double(sample.p50) : Double(sample.elapsed) / Double(max(1, sample.touched))
  }

  /// Both of one round, because a machine changes between rounds.
  private func ratio(_ subject: Subject, _ rounds: [Round]) -> Spread? {
    Spread(
      rounds.compactMap { round in
        guard let ours = round[subject], let theirs = round[.c], cost(theirs) > 0 else {
          return nil
        }
        return cost(ours) / cost(theirs)
      })
  }

  /// Figures that differ so much from round to round, or others that used so much of a CPU, are worth little.
  private static let mostSpread = 0.10
  private static let mostForeign = 0.10
  /// Nanoseconds below which the clock of /proc/stat says nothing.
  private static let leastTime: UInt64 = 500_000_000

  private func doubts(_ samples: [Sample]) -> [Doubt] {
    var doubts: [Doubt] = []
    if benchCase.kind == .fill, let sample = samples.first, sample.installed < sample.bytes {
      doubts.append(.unfilled(sample.bytes - sample.installed, of: sample.bytes))
    }
    if let spread = Spread(samples.map(cost)), spread.relative > Self.mostSpread {
      doubts.append(.spread(spread.relative))
    }
    let lifetime = samples.reduce(0) { $0 + $1.lifetime }
    let foreign = samples.reduce(0) { $0 + $1.foreign }
    if lifetime >= Self.leastTime, Double(foreign) > Double(lifetime) * Self.mostForeign {
      doubts.append(.load(Double(foreign) / Double(lifetime)))
    }
    return doubts
  }
}

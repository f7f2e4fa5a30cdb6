// SPDX-License-Identifier: Apache-2.0
// What a run of the bench is asked for.
public import UffdHost
import UffdReport

/// Which cases, how large, how often.
public struct BenchOptions: Equatable, Sendable {
  /// Path or short name of a provider; nil: our own three.
  public var library: String?
  /// Its parameters; empty: content is made for it and given as `image=`.
  public var parameters: [Parameter] = []
  /// Names of cases; empty: all.
  public var cases: [String] = []
  /// Small sizes, few rounds, one placement: to see that everything works, not to quote.
  public var isQuick = false
  /// Repetitions that count; nil: 7, or 3 where it is quick.
  public var rounds: Int?
  /// Bytes that are touched or filled; nil: as each kind of case needs.
  public var size: UInt64?
  /// Nil: both.
  public var placement: Placement?
  /// How the handler in C waits.
  public var waiting = Waiting.epoll
  /// Of the orders in which pages are touched and subjects take turns.
  public var seed: UInt64 = 1
  /// The order of the case that replays one; nil: that of a program of our own.
  public var recorded: RecordedOrder?

  public init() {}

  /// The names of all cases.
  public static let caseNames = BenchCase.all.map(\.name)

  var countedRounds: Int { rounds ?? (isQuick ? 3 : 7) }
  /// Rounds of a variant whose figures do not agree.
  var mostRounds: Int { isQuick ? countedRounds : countedRounds * 3 }

  /// The cases that were asked for.
  func chosenCases() throws(HostError) -> [BenchCase] {
    for name in cases where !Self.caseNames.contains(name) {
      throw HostError(
        .usage,
        "there is no case '\(name)'; there are \(Self.caseNames.joined(separator: ", "))")
    }
    let chosen = BenchCase.all.filter { cases.isEmpty || cases.contains($0.name) }
    if let recorded, !chosen.contains(where: { $0.order == .recorded }) {
      throw HostError(
        .usage,
        "the working set \(recorded.name.quoted) is for the case 'anon-recorded', which is not asked for"
      )
    }
    return chosen
  }

  /// How many bytes a case has, before anybody has looked at the machine.
  func wantedBytes(_ benchCase: BenchCase) -> UInt64 {
    if let size { return size }
    if benchCase.order == .recorded, let recorded { return recorded.bytes }
    switch (benchCase.kind, benchCase.memory) {
    case (.demand, .hugetlb): return isQuick ? 32 << 20 : 128 << 20
    case (.demand, _) where benchCase.operation == .poison: return isQuick ? 1 << 20 : 16 << 20
    case (.demand, _), (.path, _), (.language, _): return isQuick ? 4 << 20 : 64 << 20
    case (.fill, _): return isQuick ? 32 << 20 : 1 << 30
    case (.start, _): return 0
    }
  }
}

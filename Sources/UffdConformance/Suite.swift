// SPDX-License-Identifier: Apache-2.0
// The parent: starts a child per family, starts another one where a provider has broken the first, and
// makes of their lines one result per check. It never loads the library itself.
import Glibc
public import UffdHost

/// The conformance suite over one library.
public struct Suite: Sendable {
  /// What is checked, and how long.
  public struct Options: Sendable {
    /// Path or short name of the library.
    public var library: String
    public var parameters: [Parameter]
    /// Of everything random. The same seed makes the same checks.
    public var seed: UInt64
    /// Length of the random run.
    public var seconds = 5
    /// The ids of checks, or names of families; empty: all.
    public var only: [String] = []

    public init(_ library: String, _ parameters: [Parameter] = [], seed: UInt64 = 1) {
      self.library = library
      self.parameters = parameters
      self.seed = seed
    }
  }

  private let options: Options
  private let program: String

  /// `program` is an executable whose main calls `ConformanceChild.run` first: usually the running one.
  public init(_ options: Options, program: String = "/proc/self/exe") {
    self.options = options
    self.program = program
  }

  /// Runs the checks; `tell` hears each result as soon as it is certain.
  ///
  /// Throws what kept the checks from running: the library or its configuration was refused.
  public func run(_ tell: (CheckResult) -> Void = { _ in }) throws(HostError) -> SuiteReport {
    let chosen = try choose()
    var results: [CheckResult] = []
    var breaches: [String: String] = [:]
    var seen: Set<String> = []
    for family in Check.families {
      let checks = chosen.filter { $0.family == family }
      if checks.isEmpty { continue }
      let runnable = Check.all.filter { check in
        guard check.family == family, check.run != nil else { return false }
        // A rule is watched during its whole family.
        return checks.contains { $0.id == check.id || $0.run == nil }
      }
      let run = FamilyRun(runnable, options, program)
      try run.finish()
      breaches.merge(run.breaches) { first, _ in first }
      seen.formUnion(run.seen)
      for check in checks where check.run != nil {
        guard let result = run.results[check.id] else { continue }
        results.append(result)
        tell(result)
      }
    }
    for rule in chosen where rule.run == nil || breaches[rule.id] != nil {
      let result = CheckResult(rule, breaches[rule.id], isSeen: seen.contains(rule.id))
      if let place = results.firstIndex(where: { $0.id == rule.id }) {
        guard results[place].state != .failed else { continue }
        results[place] = result
      } else {
        results.append(result)
      }
      tell(result)
    }
    // A rule that nobody asked about was broken: that counts all the same.
    for (id, came) in breaches.sorted(by: { $0.key < $1.key })
    where !results.contains(where: { $0.id == id && $0.state == .failed }) {
      guard let rule = Check.all.first(where: { $0.id == id }) else { continue }
      let result = CheckResult(rule, came, isSeen: true)
      results.append(result)
      tell(result)
    }
    return SuiteReport(library: options.library, seed: options.seed, results: results)
  }

  private func choose() throws(HostError) -> [Check] {
    if options.only.isEmpty { return Check.all }
    for word in options.only
    where !Check.all.contains(where: { $0.id == word || $0.family == word }) {
      throw HostError(
        .usage,
        "there is no check '\(word)'; there are the families \(Check.families.joined(separator: ", "))"
      )
    }
    return Check.all.filter { options.only.contains($0.id) || options.only.contains($0.family) }
  }
}

extension CheckResult {
  /// The result of a watched rule.
  init(_ rule: Check, _ breach: String?, isSeen: Bool) {
    self.init(
      id: rule.id, state: breach != nil ? .failed : isSeen ? .ok : .skipped, expected: rule.title,
      came: breach ?? (isSeen ? "" : "no call was made that could break it"),
      sentence: rule.sentence)
  }
}

/// All results, and what they add up to.
public struct SuiteReport: Sendable {
  public let library: String
  public let seed: UInt64
  public let results: [CheckResult]

  public func count(_ state: CheckResult.State) -> Int {
    results.filter { $0.state == state }.count
  }

  /// 0: all that applies is ok; 1: something is not; 77: nothing applies.
  public var exitCode: Int32 {
    if count(.failed) > 0 { return 1 }
    return count(.ok) > 0 ? 0 : 77
  }
}

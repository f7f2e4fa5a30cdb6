// SPDX-License-Identifier: Apache-2.0
// The checks of one family, in as many child processes as it takes.
import CHookTrap
import CLinux
import Glibc
import UffdHost

/// One family on its way to results. Used by one thread.
final class FamilyRun {
  private(set) var results: [String: CheckResult] = [:]
  /// What came, by the id of a watched rule.
  private(set) var breaches: [String: String] = [:]
  /// Watched rules that calls of this family could have broken.
  private(set) var seen: Set<String> = []
  private var left: [Check]
  private let options: Suite.Options
  private let program: String

  init(_ checks: [Check], _ options: Suite.Options, _ program: String) {
    left = checks
    self.options = options
    self.program = program
  }

  /// Throws if the library or its configuration is refused.
  func finish() throws(HostError) {
    while !left.isEmpty { try runChild() }
  }

  private func runChild() throws(HostError) {
    let process = try ChildProcess(
      program,
      [
        "uffdhost", ConformanceChild.word, options.library, "\(options.seed)",
        "\(options.seconds)", left.map(\.id).joined(separator: ","),
      ] + options.parameters.map { "\($0.key)=\($0.value)" })
    var running: Check?
    var isDone = false
    var refusal: HostError?
    let limit = UInt64(options.seconds + 40) * 1_000_000_000
    process.read(idleLimit: limit) { line in
      switch line {
      case .begin(let id): running = left.first { $0.id == id }
      case .end(let id, let state, let expected, let came):
        if let check = left.first(where: { $0.id == id }) {
          note(check, state, expected, came)
        }
        running = nil
      case .breach(let id, let came): breaches[id] = breaches[id] ?? came
      case .seen(let id): seen.insert(id)
      case .refuse(let kind, let message): refusal = HostError(kind, message)
      case .trap(let signal, let hook, let fence): trapped(running, signal, hook, fence)
      case .exited(let hook):
        breaches[Rule.exits.id] = "exit() was called \(place(hook))"
        skip(running, Rule.exits)
      case .hang(let hooks):
        let place = hooks.isEmpty ? "" : " in hook \(hooks)"
        fail(running, "no return within the time limit\(place)")
      case .done: isDone = true
      }
    }
    let end = process.finish()
    if let refusal { throw refusal }
    if isDone {
      left = []
    } else if let check = running, results[check.id] == nil {
      fail(check, "the process ended \(end)")
    } else if running == nil, !left.isEmpty, results[left[0].id] == nil {
      // Nothing was begun: constructors, the entry function or the start itself.
      fail(left[0], "the process ended \(end) before the first check, while the library was loaded")
    }
    left.removeAll { results[$0.id] != nil }
  }

  private func place(_ hook: String) -> String {
    hook.isEmpty ? "outside of hooks, on a thread of the provider" : "in hook \(hook)"
  }

  private func trapped(_ running: Check?, _ signal: String, _ hook: String, _ fence: Int) {
    if let (rule, text) = Rule.behind(fence) {
      breaches[rule.id] = "\(text), \(place(hook))"
      skip(running, rule)
    } else {
      fail(running, "crashed with \(signal) \(place(hook))")
    }
  }

  private func note(_ check: Check, _ state: CheckResult.State, _ expected: String, _ came: String)
  {
    results[check.id] = CheckResult(
      id: check.id, state: state, expected: expected, came: came, sentence: check.sentence)
  }

  private func fail(_ check: Check?, _ came: String) {
    guard let check = check ?? left.first(where: { results[$0.id] == nil }) else { return }
    note(check, .failed, check.title, came)
  }

  private func skip(_ check: Check?, _ rule: Check) {
    guard let check = check ?? left.first(where: { results[$0.id] == nil }) else { return }
    if check.id == rule.id { return fail(check, breaches[rule.id] ?? "") }
    note(check, .skipped, check.title, "it ended early, as \(rule.id) was broken")
  }
}

extension HostError {
  fileprivate init(_ kind: String, _ message: String) {
    let known: [HostError.Kind] = [.usage, .refused, .system, .service]
    self.init(known.first { "\($0)" == kind } ?? .service, message)
  }
}

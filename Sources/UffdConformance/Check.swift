// SPDX-License-Identifier: Apache-2.0
// What a check is, and how one ends. Values only; the checks themselves are in Checks/, one file per family.

/// One thing that the contract demands of every provider.
///
/// A check with `run` does something and looks; one without is a rule that is watched during
/// all of its family's checks, because it can be broken by any call.
public struct Check: Sendable {
  /// `family.name`.
  public let id: String
  /// What is expected, in one clause.
  public let title: String
  /// The sentence of uffd_plugin.h that is broken when the check fails, word for word.
  public let sentence: String
  let run: (@Sendable (Context) throws -> Void)?

  init(
    _ id: String, _ title: String, _ sentence: String,
    run: (@Sendable (Context) throws -> Void)? = nil
  ) {
    self.id = id
    self.title = title
    self.sentence = sentence
    self.run = run
  }

  public var family: String { String(id.prefix { $0 != "." }) }

  /// All checks in the order in which they run; a family runs in one process of its own.
  public static let all: [Check] =
    tableChecks + configChecks + lifeChecks + allocChecks + lendChecks + lookupChecks
    + filemapChecks + extentChecks + writebackChecks + busyChecks + threadChecks + promptChecks
    + leakChecks + modelChecks + kernelChecks

  static var families: [String] {
    var names: [String] = []
    for check in all where names.last != check.family { names.append(check.family) }
    return names
  }
}

/// The check's own expectation was not met.
struct Failure: Error {
  let came: String
  let expected: String?
  init(_ came: String, expected: String? = nil) {
    self.came = came
    self.expected = expected
  }
}

/// The check does not apply to this provider, configuration or machine.
struct NotApplicable: Error {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}

/// A watched rule was broken, whichever check was running.
struct Breach: Error {
  let rule: Check
  let came: String
  init(_ rule: Check, _ came: String) {
    self.rule = rule
    self.came = came
  }
}

/// The provider did not accept its configuration.
struct Refusal: Error {
  let hook: String
  let status: Status
  let text: String?
  var sentence: String { "\(hook) answered \(status)" + (text.map { ": \($0)" } ?? "") }
}

/// How one check ended.
public struct CheckResult: Sendable, Equatable {
  public enum State: String, Sendable { case ok, failed, skipped }
  public let id: String
  public let state: State
  public let expected: String
  /// What came instead of the expected; the reason of a skip; empty for ok.
  public let came: String
  public let sentence: String
}

// SPDX-License-Identifier: Apache-2.0
// The child process: loads the library, runs the checks that its parent names, reports line by line. Whatever
// a provider does to this process, the parent lives and knows what happened.
import CHookTrap
import Glibc
import UffdHost

/// The hidden subcommand that the suite starts its own program with.
public enum ConformanceChild {
  static let word = "check-child"
  private static let reportDescriptor: Int32 = 3

  /// The exit code if `words` are a child's, else nil: an ordinary command line.
  public static func run(_ words: [String]) -> Int32? {
    guard words.first == word, words.count >= 5, let seed = UInt64(words[2]),
      let seconds = Int(words[3])
    else { return nil }
    _ = fcntl(reportDescriptor, F_SETFD, FD_CLOEXEC)
    hook_trap_install(reportDescriptor)
    let ids = words[4].split(separator: ",").map(String.init)
    let checks = Check.all.filter { ids.contains($0.id) && $0.run != nil }
    let parameters = words.dropFirst(5).compactMap { word -> Parameter? in
      guard let equals = word.firstIndex(of: "=") else { return nil }
      return Parameter(String(word[..<equals]), String(word[equals...].dropFirst()))
    }
    let before = ProcessState.now()
    let start = Watchdog.now()
    let library: Library
    do {
      library = try Library(words[1])
    } catch {
      refuse(error)
      return leave()
    }
    EntryReading.shared.set(before: before, after: ProcessState.now(), since: start)
    let context = Context(library, parameters, seed: seed, seconds: seconds)
    do { try context.requireConfiguration(checks) } catch {
      refuse(error)
      return leave()
    }
    for check in checks { perform(check, context) }
    for id in Rule.seen.ids { ChildLine.seen(id: id).send(reportDescriptor) }
    return leave()
  }

  private static func leave() -> Int32 {
    hook_trap_disarm()
    ChildLine.done.send(reportDescriptor)
    _exit(0)
  }

  private static func refuse(_ error: any Error) {
    guard let error = error as? HostError else { return }
    ChildLine.refuse(kind: "\(error.kind)", message: error.message).send(reportDescriptor)
  }

  private static func perform(_ check: Check, _ context: Context) {
    ChildLine.begin(id: check.id).send(reportDescriptor)
    let watchdog = Watchdog(seconds: context.limit(of: check), fd: reportDescriptor)
    defer { watchdog.stop() }
    var state = CheckResult.State.ok
    var (expected, came) = (check.title, "")
    do {
      try check.run!(context)
    } catch let failure as Failure {
      (state, expected, came) = (.failed, failure.expected ?? check.title, failure.came)
    } catch let reason as NotApplicable {
      (state, came) = (.skipped, reason.reason)
    } catch let breach as Breach where breach.rule.id == check.id {
      (state, came) = (.failed, breach.came)
    } catch let breach as Breach {
      ChildLine.breach(id: breach.rule.id, came: breach.came).send(reportDescriptor)
      (state, came) = (.skipped, "it ended early, as \(breach.rule.id) was broken")
    } catch let refusal as Refusal {
      (state, came) = (.failed, refusal.sentence)
      expected = "OK from configure and config_complete, as before"
    } catch let error as HostError {
      (state, came) = error.kind == .system ? (.skipped, error.message) : (.failed, error.message)
    } catch {
      (state, came) = (.failed, "\(error)")
    }
    context.closeOracle()
    ChildLine.end(id: check.id, state: state, expected: expected, came: came)
      .send(reportDescriptor)
  }
}

extension Context {
  /// Parameters that the host or the provider does not accept are the user's error, not the provider's.
  func requireConfiguration(_ checks: [Check]) throws {
    let provider = library.provider
    try ParameterInfo.check(parameters, against: provider.parameters, provider: provider.name)
    // The kernel's checks run a SERIAL library on the host's thread, and this is another.
    if provider.threadModel == .serial, checks.contains(where: { $0.family == "kernel" }) { return }
    do { try open().close() } catch let refusal as Refusal {
      throw HostError(
        refusal.status == .noMemory ? .system : .usage,
        "the provider '\(provider.name)' does not accept its configuration: \(refusal.sentence)")
    } catch is Breach {
      // The checks will say so.
    }
  }

  /// Seconds that a check may take before it counts as hung.
  func limit(of check: Check) -> Int { check.family == "model" ? seconds + 30 : 30 }
}

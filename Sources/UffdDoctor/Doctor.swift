// SPDX-License-Identifier: Apache-2.0
// The examination, as the command calls it: gather the facts, judge them, and with `deep` try the kernel.

internal import KernelProbes

public enum Doctor {
  /// Examines this machine. Needs no privilege and changes nothing.
  ///
  /// With `deep` it also tries each kernel behaviour that the host relies on, which takes a second or two.
  /// `progress` is called with every finding as it is made, on the calling thread.
  public static func run(
    deep: Bool = false, progress: (Check) -> Void = { _ in }
  ) -> DoctorReport {
    let facts = Facts.gather()
    var checks = evaluate(facts)
    checks.forEach(progress)
    if deep {
      for index in 0..<kernel_probe_count() {
        guard let probe = unsafe kernel_probe_at(index) else { break }
        let check = unsafe DeepProbe(probe.pointee).run()
        progress(check)
        checks.append(check)
      }
    }
    return DoctorReport(
      kernel: facts.kernelRelease, machine: facts.machine, isDeep: deep, checks: checks)
  }

  /// The verdict on known facts. Looks at nothing else.
  static func evaluate(_ facts: Facts) -> [Check] {
    facts.accessChecks() + facts.featureChecks() + facts.memoryChecks() + facts.limitChecks()
      + [facts.kvmCheck()]
  }
}

/// One probe of KernelProbes and what the doctor makes of its answer.
@safe
struct DeepProbe {
  let id: String
  let expectation: String
  private var probe: kernel_probe

  init(_ probe: kernel_probe) {
    unsafe self.probe = unsafe probe
    unsafe id = String(cString: probe.id)
    unsafe expectation = String(cString: probe.expectation)
  }

  /// Runs it in a child process; `hiddenFeatures` are treated as absent from the kernel.
  func run(hiddenFeatures: UInt64 = 0, seconds: UInt32 = 10) -> Check {
    var probe = unsafe self.probe
    var result = kernel_probe_result()
    unsafe kernel_probe_run(&probe, hiddenFeatures, seconds, &result)
    let seen = unsafe String(cString: kernel_probe_detail(&result))
    switch result.outcome {
    case KERNEL_PROBE_HOLDS:
      return Check("probe.\(id)", id, .ok, required: true, expectation)
    case KERNEL_PROBE_NOT_APPLICABLE:
      return Check("probe.\(id)", id, .notApplicable, required: true, "not tried: \(seen)")
    default:
      return Check(
        "probe.\(id)", id, .differs, required: true, "expected: \(expectation); seen: \(seen)",
        remedy: "report it with the output of uname -a: this kernel is not the one uffdhost knows")
    }
  }
}

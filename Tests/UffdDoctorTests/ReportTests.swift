// SPDX-License-Identifier: Apache-2.0
// What the doctor prints.

import CLinux
import Foundation
import Testing

@testable import UffdDoctor

@Suite("The doctor's report") struct ReportTests {
  private func report(_ checks: [Check]) -> DoctorReport {
    DoctorReport(kernel: "6.18", machine: "x86_64", isDeep: true, checks: checks)
  }

  @Test func textNamesTheRemedyAndTheVerdict() {
    let text = Facts.container.report().text(color: false)
    #expect(text.hasPrefix("uffdhost doctor: Linux 6.18.2-test on x86_64\n"))
    #expect(text.contains("mend: docker run --device /dev/userfaultfd"))
    #expect(text.contains("\nuffdhost cannot serve here: userfaultfd: no way leads to"))
    #expect(!text.contains("\u{1b}"))
  }

  @Test func textCountsRestrictions() {
    let ok = Check("a", "a", .ok, "fine")
    let warning = Check("b", "b", .warning, "less")
    #expect(report([ok]).text(color: false).hasSuffix("\nuffdhost can serve here\n"))
    #expect(report([ok, warning]).text(color: false).contains("with 1 restriction named above"))
    #expect(Facts.complete.report().text(color: false).contains("not tried (--deep)"))
  }

  @Test func textGathersFeaturesAndNamesTheMissingOne() {
    let facts = Facts.complete.with { $0.features! &= ~CLINUX_FEATURE_POISON }
    let lines = facts.report().text(color: false).split(separator: "\n")
    let gathered = lines.filter { $0.contains(" features ") }
    #expect(gathered.count == 1)
    #expect(gathered.first?.contains("present: PAGEFAULT_FLAG_WP EVENT_FORK") == true)
    #expect(gathered.first?.contains("POISON") == false)
    #expect(lines.filter { $0.contains("missing   POISON ") }.count == 1)
  }

  @Test func colourIsOnlyTheStateWord() {
    let facts = Facts.unprivileged.report()
    var plain = facts.text(color: true)
    for code in ["32", "33", "31", "2", "0"] {
      plain = plain.replacingOccurrences(of: "\u{1b}[\(code)m", with: "")
    }
    #expect(facts.text(color: true).contains("\u{1b}[31mblocked \u{1b}[0m"))
    #expect(plain == facts.text(color: false))
  }

  @Test func onlyRequiredChecksDecideTheExitCode() {
    for state in Check.State.allCases {
      let isBad = state == .missing || state == .blocked || state == .differs
      #expect(report([Check("a", "a", state, "x")]).exitCode == 0)
      #expect(report([Check("a", "a", state, required: true, "x")]).exitCode == (isBad ? 4 : 0))
    }
  }

  @Test func jsonSaysTheSame() throws {
    let awkward = Check(
      "a", "quote \" backslash \\", .notApplicable, "line\nbreak\u{1}", remedy: nil)
    let blocked = Check("b", "b", .blocked, required: true, "é", remedy: "echo 1 | tee \"x\"")
    let object = try JSONSerialization.jsonObject(
      with: Data(report([awkward, blocked]).json().utf8))
    let top = try #require(object as? [String: Any])
    #expect(top["kernel"] as? String == "6.18")
    #expect(top["deep"] as? Bool == true)
    #expect(top["can_serve"] as? Bool == false)
    let checks = try #require(top["checks"] as? [[String: Any]])
    #expect(checks.count == 2)
    #expect(checks[0]["title"] as? String == awkward.title)
    #expect(checks[0]["state"] as? String == "not_applicable")
    #expect(checks[0]["detail"] as? String == awkward.detail)
    #expect(checks[0]["remedy"] is NSNull)
    #expect(checks[1]["required"] as? Bool == true)
    #expect(checks[1]["detail"] as? String == "é")
    #expect(checks[1]["remedy"] as? String == blocked.remedy)
  }

  /// The machine the tests run on, whatever it lacks: every fact is read and every check is made.
  @Test func thisMachine() throws {
    let facts = Facts.gather()
    #expect(facts.kernelRelease.contains("."))
    #expect(facts.pageBytes >= 4096)
    #expect(facts.maximumMappings != nil)
    #expect(facts.overcommitMode != nil)
    if facts.deviceCode == 0 || facts.syscallCode == 0 || facts.userOnlyCode == 0 {
      #expect(facts.features != nil)
    }
    let report = Doctor.run()
    #expect(report.checks.map(\.id) == Doctor.evaluate(facts).map(\.id))
    #expect(report.exitCode == (report.canServe ? 0 : 4))
    #expect(throws: Never.self) {
      try JSONSerialization.jsonObject(with: Data(report.json().utf8))
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// The deep probes: they hold here, each one can fail, and none can hang or crash the caller.

import CLinux
import Foundation
import Glibc
import KernelProbes
import ProbeSpecimens
import Testing

@testable import UffdDoctor

/// A probe forks and starts threads in the child, which the thread sanitizer does not support.
private let underThreadSanitizer = unsafe dlsym(nil, "__tsan_init") != nil

private func probe(_ id: String) throws -> DeepProbe {
  for index in 0..<kernel_probe_count() {
    let entry = unsafe kernel_probe_at(index)!.pointee
    if unsafe String(cString: entry.id) == id { return unsafe DeepProbe(entry) }
  }
  throw MissingProbe(id: id)
}

private struct MissingProbe: Error { let id: String }

private let ids: [String] = (0..<kernel_probe_count()).map {
  unsafe String(cString: kernel_probe_at($0)!.pointee.id)
}

/// Reasons that a probe may give here without being a defect of ours.
private let acceptedReasons = [
  "the kernel lacks UFFD_FEATURE_", "no userfaultfd can be opened", "not enough free pages",
  "no 2 MiB page is free", "2 MiB memfd:", "a hugetlbfs mount of its own is refused",
  "a tmpfs mount of its own is refused", "only user-mode faults can be had",
  "EVENT_FORK is refused", "execve under ptrace is refused",
]

@Suite(
  "Deep probes", .serialized,
  .enabled(if: !underThreadSanitizer, "probes fork, which the thread sanitizer cannot follow"))
struct DeepTests {
  @Test("every behaviour holds here or does not apply, for a stated reason, within a minute")
  func everyBehaviour() {
    let started = clinux_now()
    var seen: [String] = []
    let report = Doctor.run(deep: true) { seen.append($0.id) }
    let seconds = Double(clinux_now() - started) / 1e9
    #expect(seconds < 60)
    #expect(seen == report.checks.map(\.id))
    let probes = report.checks.filter { $0.id.hasPrefix("probe.") }
    #expect(probes.map(\.title) == ids)
    for check in probes {
      #expect(check.state != .differs, "\(check.id): \(check.detail)")
      if check.state == .notApplicable {
        #expect(
          acceptedReasons.contains { check.detail.contains($0) }, "\(check.id): \(check.detail)")
      }
    }
  }

  @Test("a false expectation is reported with what was seen")
  func falseExpectation() {
    let check = unsafe DeepProbe(probe_specimen_false).run()
    if check.state != .notApplicable {
      #expect(check.state == .differs)
      #expect(
        check.detail
          == "expected: COPY replaces a present page; seen: COPY again: EEXIST instead of success")
      #expect(check.isObstacle)
    }
  }

  @Test("a probe that hangs ends with its alarm")
  func hangs() {
    let started = clinux_now()
    let check = unsafe DeepProbe(probe_specimen_hangs).run(seconds: 1)
    if check.state != .notApplicable {
      #expect(check.state == .differs)
      #expect(check.detail.hasSuffix("seen: no answer within 1 s"))
    }
    #expect(clinux_now() - started < 30_000_000_000)
  }

  @Test("a probe that crashes or leaves without a word is a difference")
  func crashes() {
    let crash = unsafe DeepProbe(probe_specimen_crashes).run()
    #expect(crash.state == .differs)
    #expect(crash.detail.hasSuffix("seen: the probe died of SIGABRT"))
    let silent = unsafe DeepProbe(probe_specimen_silent).run()
    #expect(silent.state == .differs)
    #expect(silent.detail.hasSuffix("seen: the probe ended without an answer"))
  }

  @Test(
    "a hidden feature makes its probes not applicable",
    arguments: [
      ("poison-sigbus", CLINUX_FEATURE_POISON, "POISON"),
      ("continue-absent", CLINUX_FEATURE_MINOR_SHMEM, "MINOR_SHMEM"),
      ("copy-publishes", CLINUX_FEATURE_MISSING_SHMEM, "MISSING_SHMEM"),
      ("hugetlb-whole-pages", CLINUX_FEATURE_MISSING_HUGETLBFS, "MISSING_HUGETLBFS"),
      ("hugetlb-publisher", CLINUX_FEATURE_MINOR_HUGETLBFS, "MINOR_HUGETLBFS"),
      ("remove-event", CLINUX_FEATURE_EVENT_REMOVE, "EVENT_REMOVE"),
      ("unmap-event", CLINUX_FEATURE_EVENT_UNMAP, "EVENT_UNMAP"),
      ("remap-event", CLINUX_FEATURE_EVENT_REMAP, "EVENT_REMAP"),
      ("remap-order", CLINUX_FEATURE_EVENT_UNMAP, "EVENT_UNMAP"),
      ("growth-silent", CLINUX_FEATURE_EVENT_REMAP, "EVENT_REMAP"),
      ("dontunmap-shared", CLINUX_FEATURE_MINOR_SHMEM, "MINOR_SHMEM"),
      ("event-probe", CLINUX_FEATURE_EVENT_UNMAP, "EVENT_UNMAP"),
      ("unregister-events", CLINUX_FEATURE_EVENT_REMOVE, "EVENT_REMOVE"),
      ("exec-gone", CLINUX_FEATURE_MINOR_SHMEM, "MINOR_SHMEM"),
      ("fork-event", CLINUX_FEATURE_EVENT_FORK, "EVENT_FORK"),
      ("fork-flags", CLINUX_FEATURE_EVENT_FORK, "EVENT_FORK"),
      ("fork-poison", CLINUX_FEATURE_POISON, "POISON"),
      ("fork-shared", CLINUX_FEATURE_MINOR_SHMEM, "MINOR_SHMEM"),
    ])
  func hiddenFeature(_ id: String, _ feature: UInt64, _ name: String) throws {
    let check = try probe(id).run(hiddenFeatures: feature)
    #expect(check.state == .notApplicable)
    #expect(
      check.detail == "not tried: the kernel lacks UFFD_FEATURE_\(name)"
        || check.detail.contains("no userfaultfd can be opened"))
    #expect(!check.isObstacle)
  }

  @Test("docs/kernel.md names every probe, and no probe that is not there")
  func documented() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let text = try String(contentsOf: root.appending(path: "docs/kernel.md"), encoding: .utf8)
    // A probe is written [`id`] where the fact stands.
    let named = text.matches(of: /\[`([a-z0-9-]+)`\]/).map { String($0.output.1) }
    #expect(Set(ids).count == ids.count)
    #expect(Set(named) == Set(ids))
  }
}

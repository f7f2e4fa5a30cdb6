// SPDX-License-Identifier: Apache-2.0
// The verdict on forced facts, as a table: one change to a complete machine, and what the doctor must say.

import CLinux
import Glibc
import Testing

@testable import UffdDoctor

/// One row: facts, the check to look at, and what it has to be.
struct Verdict: Sendable, CustomTestStringConvertible {
  let name: String
  let facts: Facts
  let id: String
  let state: Check.State
  /// Words of the detail and of the remedy; an empty remedy means that there must be none.
  var says: String
  var remedy: String = ""
  var exitCode: Int32 = 0
  var testDescription: String { name }
}

private let access: [Verdict] = [
  Verdict(
    name: "complete", facts: .complete, id: "userfaultfd.access", state: .ok,
    says: "/dev/userfaultfd"),
  Verdict(
    name: "kernel 5.15", facts: .complete.with { $0.kernelRelease = "5.15.0-91-generic" },
    id: "kernel.version", state: .missing, says: "5.15.0-91-generic is older than 6.1",
    remedy: "boot Linux 6.1", exitCode: 4),
  Verdict(
    name: "kernel 6.0", facts: .complete.with { $0.kernelRelease = "6.0.19" },
    id: "kernel.version", state: .missing, says: "older than 6.1", remedy: "6.1", exitCode: 4),
  Verdict(
    name: "kernel 6.1", facts: .complete.with { $0.kernelRelease = "6.1.0-18-amd64" },
    id: "kernel.version", state: .ok, says: "supported"),
  Verdict(
    name: "kernel 10.0", facts: .complete.with { $0.kernelRelease = "10.0" },
    id: "kernel.version", state: .ok, says: "supported"),
  Verdict(
    name: "unreadable kernel", facts: .complete.with { $0.kernelRelease = "unknown" },
    id: "kernel.version", state: .warning, says: "cannot be read"),
  Verdict(
    name: "device absent, driver there",
    facts: .complete.with {
      $0.device = .init(mode: nil, openCode: ENOENT)
      $0.deviceCode = ENOENT
    }, id: "userfaultfd.device", state: .missing, says: "no device file",
    remedy: "sudo mknod -m 0600 /dev/userfaultfd c 10 126"),
  Verdict(
    name: "device absent, system call works",
    facts: .complete.with {
      $0.device = .init(mode: nil, openCode: ENOENT)
      $0.deviceCode = ENOENT
    }, id: "userfaultfd.access", state: .ok, says: "userfaultfd(2)"),
  Verdict(
    name: "kernel without userfaultfd",
    facts: .complete.with {
      $0.device = .init(mode: nil, openCode: ENOENT)
      $0.deviceCode = ENOENT
      $0.deviceMinor = nil
      $0.unprivilegedSetting = nil
      $0.syscallCode = ENOSYS
      $0.userOnlyCode = ENOSYS
      $0.features = nil
    }, id: "userfaultfd.access", state: .missing, says: "ENOSYS", remedy: "CONFIG_USERFAULTFD=y",
    exitCode: 4),
  Verdict(
    name: "no permission for the device", facts: .unprivileged, id: "userfaultfd.device",
    state: .blocked, says: "mode 0600, uid 0, gid 0",
    remedy: "sudo setfacl -m u:$USER:rw /dev/userfaultfd"),
  Verdict(
    name: "device forbidden by the container",
    facts: .unprivileged.with {
      $0.device.openCode = EPERM
      $0.deviceCode = EPERM
    }, id: "userfaultfd.device", state: .blocked, says: "container", remedy: "--device"),
  Verdict(
    name: "no permission for the call", facts: .unprivileged, id: "userfaultfd.syscall",
    state: .blocked, says: "vm.unprivileged_userfaultfd is 0): EPERM",
    remedy: "sudo sysctl -w vm.unprivileged_userfaultfd=1"),
  Verdict(
    name: "capability of a user namespace",
    facts: .unprivileged.with { $0.hasPtraceCapability = true }, id: "userfaultfd.syscall",
    state: .blocked, says: "user namespace", remedy: "sysctl"),
  Verdict(
    name: "user-mode-only is what is left", facts: .unprivileged, id: "userfaultfd.access",
    state: .warning, says: "EFAULT, and KVM guests cannot be served", remedy: "setfacl"),
  Verdict(
    name: "filter: the call", facts: .container, id: "userfaultfd.syscall", state: .blocked,
    says: "seccomp filter answers EPERM", remedy: "seccomp=PROFILE.json", exitCode: 4),
  Verdict(
    name: "filter: the sandbox", facts: .container, id: "sandbox.seccomp", state: .blocked,
    says: "NoNewPrivs", remedy: "seccomp=PROFILE.json", exitCode: 4),
  Verdict(
    name: "filter: the access", facts: .container, id: "userfaultfd.access", state: .blocked,
    says: "no way leads", remedy: "seccomp=PROFILE.json", exitCode: 4),
  Verdict(
    name: "filter answering ENOSYS",
    facts: .container.with {
      $0.syscallCode = ENOSYS
      $0.userOnlyCode = ENOSYS
    }, id: "userfaultfd.syscall", state: .blocked, says: "answers ENOSYS", remedy: "PROFILE",
    exitCode: 4),
  Verdict(
    name: "filter, but the setting forbids as well",
    facts: .unprivileged.with { $0.seccompMode = 2 }, id: "userfaultfd.syscall", state: .blocked,
    says: "CAP_SYS_PTRACE or", remedy: "sysctl"),
  Verdict(
    name: "harmless filter", facts: .complete.with { $0.seccompMode = 2 }, id: "sandbox.seccomp",
    state: .ok, says: "lets userfaultfd through"),
  Verdict(
    name: "no KVM", facts: .complete.with { $0.kvm = .init(mode: nil, openCode: ENOENT) },
    id: "kvm", state: .notApplicable, says: "only KVM guests"),
  Verdict(
    name: "no permission for KVM", facts: .complete.with { $0.kvm.openCode = EACCES },
    id: "kvm", state: .blocked, says: "EACCES", remedy: "setfacl -m u:$USER:rw /dev/kvm"),
]

private let memory: [Verdict] = [
  Verdict(
    name: "no POISON",
    facts: .complete.with { $0.features! &= ~CLINUX_FEATURE_POISON }, id: "feature.poison",
    state: .missing, says: "Linux 6.6; without it a page that cannot be had kills its client",
    remedy: "boot Linux 6.6"),
  Verdict(
    name: "the others are not touched by it",
    facts: .complete.with { $0.features! &= ~CLINUX_FEATURE_POISON }, id: "feature.wp_async",
    state: .ok, says: "6.7"),
  Verdict(
    name: "nobody to ask for features", facts: .container, id: "feature.poison",
    state: .notApplicable, says: "no userfaultfd", exitCode: 4),
  Verdict(
    name: "empty pool",
    facts: .complete.with {
      $0.pools[0].total = 0
      $0.pools[0].free = 0
    },
    id: "hugepages.2MiB", state: .missing, says: "empty",
    remedy: "echo 64 | sudo tee /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"),
  Verdict(
    name: "empty pool of 1 GiB pages",
    facts: .complete.with {
      $0.pools[1].total = 0
      $0.pools[1].free = 0
    },
    id: "hugepages.1GiB", state: .missing, says: "empty",
    remedy: "echo 1 | sudo tee /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"),
  Verdict(
    name: "pool reserved to the last page", facts: .complete.with { $0.pools[0].reserved = 64 },
    id: "hugepages.2MiB", state: .warning, says: "64 in the pool, 64 free, 64 reserved",
    remedy: "echo 128 |"),
  Verdict(
    name: "empty pool that may grow",
    facts: .complete.with {
      $0.pools[0].total = 0
      $0.pools[0].free = 0
      $0.pools[0].overcommit = 8
    }, id: "hugepages.2MiB", state: .ok, says: "0 surplus of 8 allowed"),
  Verdict(
    name: "huge memfd forbidden", facts: .complete.with { $0.pools[0].memfdCode = EPERM },
    id: "hugepages.2MiB", state: .blocked, says: "memfd_create with pages of 2 MiB fails: EPERM"),
  Verdict(
    name: "kernel without huge pages", facts: .complete.with { $0.pools = [] }, id: "hugepages",
    state: .missing, says: "no huge page pools", remedy: "CONFIG_HUGETLBFS"),
  Verdict(
    name: "eager huge shared memory", facts: .complete.with { $0.shmemHuge = "force" },
    id: "memory.shmem-huge", state: .ok, says: "2 MiB of a memfd at once"),
  Verdict(
    name: "no transparent huge pages", facts: .complete.with { $0.shmemHuge = nil },
    id: "memory.shmem-huge", state: .notApplicable, says: "no transparent"),
  Verdict(
    name: "strict overcommit", facts: .complete.with { $0.overcommitMode = 2 },
    id: "memory.overcommit", state: .warning, says: "ENOMEM", remedy: "vm.overcommit_memory=0"),
  Verdict(
    name: "few mappings", facts: .complete.with { $0.maximumMappings = 1000 },
    id: "limit.mappings", state: .warning, says: "1000", remedy: "vm.max_map_count=262144"),
  Verdict(
    name: "few files", facts: .complete.with { $0.openFiles = 64 }, id: "limit.open-files",
    state: .warning, says: "64", remedy: "ulimit -n"),
  Verdict(
    name: "unlimited files", facts: .complete.with { $0.openFiles = nil }, id: "limit.open-files",
    state: .ok, says: "unlimited"),
  Verdict(
    name: "small address space", facts: .complete.with { $0.addressSpaceBytes = 4 << 30 },
    id: "limit.address-space", state: .warning, says: "4 GiB", remedy: "ulimit -v unlimited"),
  Verdict(
    name: "roomy memory group",
    facts: .complete.with {
      $0.memoryGroup = .init(path: "/a", limitBytes: 4 << 30, usedBytes: 1 << 30)
    }, id: "limit.memory-group", state: .ok, says: "/a allows 4 GiB, 3 GiB left"),
  Verdict(
    name: "full memory group",
    facts: .complete.with {
      $0.memoryGroup = .init(path: "/a", limitBytes: 1 << 30, usedBytes: 2 << 30)
    }, id: "limit.memory-group", state: .warning, says: "0 bytes left", remedy: "memory.max"),
]

@Suite("The doctor's verdict") struct EvaluateTests {
  @Test(arguments: access + memory)
  func verdict(_ row: Verdict) throws {
    let report = row.facts.report()
    let check = try #require(report.check(row.id))
    #expect(check.state == row.state)
    #expect(check.detail.contains(row.says), "\(check.detail)")
    if row.remedy.isEmpty {
      #expect(check.remedy == nil)
    } else {
      #expect(check.remedy?.contains(row.remedy) == true, "\(check.remedy ?? "no remedy")")
    }
    #expect(report.exitCode == row.exitCode)
  }

  @Test("a complete machine has nothing to mend")
  func completeMachine() {
    for check in Doctor.evaluate(.complete) {
      #expect(check.state == .ok, "\(check.id): \(check.detail)")
      #expect(check.remedy == nil, "\(check.id)")
    }
  }

  @Test("every id is there once, and every detail is one sentence without a full stop")
  func wellFormed() {
    for facts in [Facts.complete, .unprivileged, .container] {
      let checks = Doctor.evaluate(facts)
      #expect(Set(checks.map(\.id)).count == checks.count)
      for check in checks {
        #expect(
          !check.detail.isEmpty && !check.detail.hasSuffix(".") && !check.detail.contains("\n"))
      }
    }
  }

  @Test("each feature is looked up by its own bit")
  func eachFeature() {
    for feature in Feature.all {
      let facts = Facts.complete.with { $0.features! &= ~feature.bit }
      let missing = Doctor.evaluate(facts).filter { $0.state == .missing }
      #expect(missing.map(\.title) == [feature.name])
      #expect(missing.first?.detail.contains(feature.loss) == true)
    }
  }
}

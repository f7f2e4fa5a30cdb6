// SPDX-License-Identifier: Apache-2.0
// Machines for the table tests, as the facts they would give.

import CLinux
import Glibc

@testable import UffdDoctor

extension Facts {
  /// Everything is there: root on Linux 6.18 with huge pages.
  static let complete = Facts(
    kernelRelease: "6.18.2-test", machine: "x86_64", pageBytes: 4096,
    device: Device(mode: 0o600, owner: 0, group: 0), deviceMinor: 126, deviceCode: 0,
    syscallCode: 0, userOnlyCode: 0, unprivilegedSetting: 0, hasPtraceCapability: true,
    seccompMode: 0, noNewPrivileges: false,
    features: Feature.all.reduce(0) { $0 | $1.bit },
    pools: [
      HugePool(pageBytes: 2 << 20, total: 64, free: 64, reserved: 0, surplus: 0, overcommit: 0),
      HugePool(pageBytes: 1 << 30, total: 1, free: 1, reserved: 0, surplus: 0, overcommit: 0),
    ],
    shmemHuge: "never", maximumMappings: 65530, openFiles: 1024, lockedBytes: 8 << 20,
    addressSpaceBytes: nil, memoryGroup: nil, overcommitMode: 0, kvm: Device(mode: 0o660))

  /// The same machine for a user without any privilege.
  static let unprivileged = complete.with {
    $0.device.openCode = EACCES
    $0.deviceCode = EACCES
    $0.syscallCode = EPERM
    $0.hasPtraceCapability = false
  }

  /// A container whose seccomp filter refuses userfaultfd and which has no device file.
  static let container = unprivileged.with {
    $0.device = Device(mode: nil, openCode: ENOENT)
    $0.deviceCode = ENOENT
    $0.userOnlyCode = EPERM
    $0.seccompMode = 2
    $0.noNewPrivileges = true
    $0.features = nil
  }

  func with(_ change: (inout Facts) -> Void) -> Facts {
    var copy = self
    change(&copy)
    return copy
  }

  func report() -> DoctorReport {
    DoctorReport(
      kernel: kernelRelease, machine: machine, isDeep: false, checks: Doctor.evaluate(self))
  }
}

extension DoctorReport {
  func check(_ id: String) -> Check? { checks.first { $0.id == id } }
}

// SPDX-License-Identifier: Apache-2.0
// Judges the ways to a userfaultfd: kernel, device, system call, sandbox. Pure; called by Doctor.evaluate.

internal import CLinux
internal import Glibc

/// "EPERM" for its number.
func errnoName(_ code: Int32) -> String {
  guard let name = unsafe clinux_errno_name(code) else { return "errno \(code)" }
  return unsafe String(cString: name)
}

extension Facts {
  static let allowDevice = "sudo setfacl -m u:$USER:rw /dev/userfaultfd"
  static let allowSyscall = "sudo sysctl -w vm.unprivileged_userfaultfd=1"
  static let passThrough =
    "docker run --device /dev/userfaultfd --security-opt seccomp=PROFILE.json ... "
    + "(PROFILE.json: the runtime's own profile with userfaultfd allowed)"

  func accessChecks() -> [Check] {
    let device = deviceCheck()
    let call = syscallCheck()
    let userOnly = userOnlyCheck()
    return [kernelCheck(), device, call, userOnly, accessCheck(device, call), seccompCheck()]
  }

  private func kernelCheck() -> Check {
    let title = "kernel"
    let numbers = kernelRelease.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    guard numbers.count == 2 else {
      return Check(
        "kernel.version", title, .warning,
        "the version of kernel \"\(kernelRelease)\" cannot be read; Linux 6.1 and later is supported"
      )
    }
    let isSupported = numbers[0] > 6 || numbers[0] == 6 && numbers[1] >= 1
    return Check(
      "kernel.version", title, isSupported ? .ok : .missing, required: true,
      isSupported
        ? "Linux \(kernelRelease) on \(machine) is supported"
        : "Linux \(kernelRelease) is older than 6.1, the oldest kernel that uffdhost supports",
      remedy: isSupported ? nil : "boot Linux 6.1 or later")
  }

  private func deviceCheck() -> Check {
    func check(_ state: Check.State, _ detail: String, _ remedy: String? = nil) -> Check {
      Check("userfaultfd.device", "/dev/userfaultfd", state, detail, remedy: remedy)
    }
    guard let mode = device.mode else {
      if let deviceMinor {
        return check(
          .missing,
          "there is no device file though the kernel has the driver; "
            + "a container gets it by --device /dev/userfaultfd",
          "sudo mknod -m 0600 /dev/userfaultfd c 10 \(deviceMinor)")
      }
      return check(
        .missing, "the kernel has no such device (it came with 6.1, with CONFIG_USERFAULTFD)",
        "boot a kernel with CONFIG_USERFAULTFD=y")
    }
    let owner = "mode \(octal(mode)), uid \(device.owner), gid \(device.group)"
    switch (device.openCode, deviceCode) {
    case (0, 0): return check(.ok, "can be opened (\(owner)) and gives full mode")
    case (0, let code):
      return check(
        .blocked, "can be opened (\(owner)) but gives no userfaultfd: \(errnoName(code))",
        seccompMode == 0 ? nil : Self.passThrough)
    case (EACCES, _):
      return check(
        .blocked,
        "this user may not open it (\(owner)); a udev rule "
          + "KERNEL==\"userfaultfd\", GROUP=\"...\", MODE=\"0660\" makes the remedy last",
        Self.allowDevice)
    case (EPERM, _):
      return check(
        .blocked, "the device rules of this container forbid it (\(owner)): EPERM",
        "docker run --device /dev/userfaultfd ...")
    case (let code, _): return check(.blocked, "open fails (\(owner)): \(errnoName(code))")
    }
  }

  /// Whether the call is refused although the kernel itself would allow it.
  private var isFiltered: Bool {
    guard seccompMode != 0, syscallCode == EPERM || syscallCode == ENOSYS else { return false }
    // The kernel refuses user-mode-only to nobody, so a refusal is the filter's.
    let userOnlyIsRefused = userOnlyCode == EPERM || userOnlyCode == ENOSYS
    let isBuilt = syscallCode == EPERM || unprivilegedSetting != nil || deviceMinor != nil
    return isBuilt && (userOnlyIsRefused || unprivilegedSetting == 1 || hasPtraceCapability)
  }

  private func syscallCheck() -> Check {
    func check(_ state: Check.State, _ detail: String, _ remedy: String? = nil) -> Check {
      Check("userfaultfd.syscall", "userfaultfd(2)", state, detail, remedy: remedy)
    }
    let setting = unprivilegedSetting.map { "vm.unprivileged_userfaultfd is \($0)" }
    let reasons = [setting, hasPtraceCapability ? "CAP_SYS_PTRACE is held" : nil].compactMap { $0 }
    switch syscallCode {
    case 0: return check(.ok, "gives full mode (\(reasons.joined(separator: ", ")))")
    case _ where isFiltered:
      return check(
        .blocked, "a seccomp filter answers \(errnoName(syscallCode)) in the kernel's place",
        Self.passThrough)
    case ENOSYS:
      return check(
        .missing, "the kernel is built without CONFIG_USERFAULTFD: ENOSYS",
        "boot a kernel with CONFIG_USERFAULTFD=y")
    case EPERM where hasPtraceCapability:
      return check(
        .blocked,
        "full mode is refused: CAP_SYS_PTRACE of a user namespace does not count: EPERM",
        Self.allowSyscall)
    case EPERM:
      return check(
        .blocked,
        "full mode needs CAP_SYS_PTRACE or vm.unprivileged_userfaultfd=1 "
          + "(\(setting ?? "there is no such setting")): EPERM",
        Self.allowSyscall)
    case let code: return check(.blocked, "fails: \(errnoName(code))")
    }
  }

  private func userOnlyCheck() -> Check {
    let title = "user-mode-only"
    let meaning =
      "kernel accesses such as read(2) into a missing page fail with EFAULT "
      + "and KVM guests cannot be served"
    if userOnlyCode == 0 {
      return Check(
        "userfaultfd.user-mode-only", title, .ok, "is there as the last resort, in which \(meaning)"
      )
    }
    let isMissing = userOnlyCode == ENOSYS && seccompMode == 0
    return Check(
      "userfaultfd.user-mode-only", title, isMissing ? .missing : .blocked,
      "not even user-mode-only faults can be had: \(errnoName(userOnlyCode))",
      remedy: isFiltered ? Self.passThrough : nil)
  }

  /// The one that decides: whether any way leads to a userfaultfd.
  private func accessCheck(_ device: Check, _ call: Check) -> Check {
    func check(_ state: Check.State, _ detail: String, _ remedy: String? = nil) -> Check {
      Check("userfaultfd.access", "userfaultfd", state, required: true, detail, remedy: remedy)
    }
    if deviceCode == 0 { return check(.ok, "full mode, by /dev/userfaultfd") }
    if syscallCode == 0 { return check(.ok, "full mode, by userfaultfd(2)") }
    let remedy = device.state == .blocked ? device.remedy : call.remedy ?? device.remedy
    if userOnlyCode == 0 {
      return check(
        .warning,
        "only user-mode faults can be served: a system call that reads or writes a missing page "
          + "fails with EFAULT, and KVM guests cannot be served",
        remedy)
    }
    let isBlocked = device.state == .blocked || call.state == .blocked
    return check(
      isBlocked ? .blocked : .missing,
      "no way leads to a userfaultfd (device \(errnoName(deviceCode)), "
        + "system call \(errnoName(syscallCode)))",
      remedy)
  }

  private func seccompCheck() -> Check {
    let title = "seccomp"
    let privileges = noNewPrivileges ? "; NoNewPrivs is set" : ""
    if seccompMode == 0 {
      return Check("sandbox.seccomp", title, .ok, "no filter is active\(privileges)")
    }
    if isFiltered || device.openCode == 0 && deviceCode == EPERM {
      return Check(
        "sandbox.seccomp", title, .blocked,
        "a filter forbids userfaultfd, as the default profiles of container runtimes do\(privileges)",
        remedy: Self.passThrough)
    }
    return Check(
      "sandbox.seccomp", title, .ok, "a filter is active and lets userfaultfd through\(privileges)")
  }
}

private func octal(_ mode: UInt32) -> String {
  let digits = String(mode, radix: 8)
  return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
}

// SPDX-License-Identifier: Apache-2.0
// Opening a userfaultfd, its handshake, and which ranges it watches.
import CLinux
import Glibc

/// How a userfaultfd was opened: the device first, the system call second, the restricted form last.
enum UserfaultfdAccess: String, Sendable {
  /// `/dev/userfaultfd` (Linux 6.1); the permission is the mode of the file.
  case device
  /// userfaultfd(2); needs CAP_SYS_PTRACE or vm.unprivileged_userfaultfd = 1.
  case systemCall
  /// userfaultfd(2) with UFFD_USER_MODE_ONLY: an access by the kernel (read(2) into a missing page, a
  /// KVM guest) fails with EFAULT instead of being served.
  case userModeOnly
}

/// One userfaultfd of this process, with its handshake done.
final class Userfaultfd: Sendable {
  private let descriptor: Descriptor
  let access: UserfaultfdAccess
  /// What the kernel offers, less what the caller masked out.
  let offered: KernelFeatures
  let calls: UffdCalls

  /// Opens a uffd and enables those of `wanted` that the kernel offers and `mask` allows.
  init(
    wanted: KernelFeatures, mask: KernelFeatures = .all, table: UffdCallTable = .kernel
  ) throws(HostError) {
    // A second UFFDIO_API on one uffd is refused (userfaultfd_api), so features are probed on a spare.
    let probe = try Userfaultfd.open()
    var features: UInt64 = 0
    var ioctls: UInt64 = 0
    let probed = unsafe clinux_uffd_api(probe.descriptor.fd, &features, &ioctls)
    guard probed == 0 else {
      throw HostError(
        .system,
        "the kernel refuses the userfaultfd handshake (\(Errno(-probed).name)); it needs Linux 6.1 or later"
      )
    }
    let offered = KernelFeatures(rawValue: features).intersection(mask)
    let opened = try Userfaultfd.open()
    features = wanted.intersection(offered).rawValue
    let result = unsafe clinux_uffd_api(opened.descriptor.fd, &features, &ioctls)
    guard result == 0 else {
      throw HostError(
        .system, "the kernel refuses userfaultfd features it offers (\(Errno(-result).name))")
    }
    self.descriptor = opened.descriptor
    self.access = opened.access
    self.offered = offered
    self.calls = UffdCalls(fd: opened.descriptor.fd, table: table)
  }

  private static func open() throws(HostError) -> (
    descriptor: Descriptor, access: UserfaultfdAccess
  ) {
    let flags = O_CLOEXEC | O_NONBLOCK
    let device = unsafe Glibc.open("/dev/userfaultfd", O_RDWR | O_CLOEXEC)
    let deviceError = Errno(errno)
    if device >= 0 {
      let owned = Descriptor(owning: device)
      let fd = clinux_uffd_from_device(owned.fd, flags)
      if fd >= 0 { return (Descriptor(owning: fd), .device) }
      try Userfaultfd.throwIfExhausted(Errno(-fd))
    }
    let fd = clinux_uffd_from_syscall(flags)
    if fd >= 0 { return (Descriptor(owning: fd), .systemCall) }
    try Userfaultfd.throwIfExhausted(Errno(-fd))
    let restricted = clinux_uffd_from_syscall(flags | CLINUX_UFFD_USER_MODE_ONLY)
    if restricted >= 0 { return (Descriptor(owning: restricted), .userModeOnly) }
    throw HostError(
      .system,
      "no userfaultfd can be opened: /dev/userfaultfd says \(deviceError.name), userfaultfd(2) says "
        + "\(Errno(-fd).name), restricted to user mode \(Errno(-restricted).name); "
        + "'uffdhost doctor' tells the remedy")
  }

  private static func throwIfExhausted(_ error: Errno) throws(HostError) {
    if error == .EMFILE || error == .ENFILE {
      throw HostError(
        .system,
        "no userfaultfd can be opened: \(error.name), too many open files; raise 'ulimit -n'")
    }
  }

  /// UFFDIO_REGISTER.
  func register(_ start: UInt64, length: UInt64, minor: Bool) throws(Errno) {
    var ioctls: UInt64 = 0
    let mode = CLINUX_REGISTER_MISSING | (minor ? CLINUX_REGISTER_MINOR : 0)
    _ = try check(unsafe clinux_uffd_register(descriptor.fd, start, length, mode, &ioctls))
  }

  /// UFFDIO_UNREGISTER. The caller has filled the range: missing pages would read zero from now on.
  func unregister(_ start: UInt64, length: UInt64) throws(Errno) {
    try Userfaultfd.unregister(descriptor, start, length: length)
  }

  /// The same for a uffd that a client handed over.
  static func unregister(_ uffd: Descriptor, _ start: UInt64, length: UInt64) throws(Errno) {
    _ = try check(clinux_uffd_unregister(uffd.fd, start, length))
  }
}

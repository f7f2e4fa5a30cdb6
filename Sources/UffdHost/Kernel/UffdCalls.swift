// SPDX-License-Identifier: Apache-2.0
// The ioctls of a fault's life. This file and Userfaultfd.swift are the only places where UFFDIO calls
// are made.
import CLinux

/// Replaces calls of a running session: for tests that must see what the kernel does not do on demand.
/// The real table is `clinux_uffd_kernel`.
@safe package struct UffdCallTable: @unchecked Sendable {
  let table: UnsafePointer<clinux_uffd_ops>
  package init(_ table: UnsafeRawPointer) {
    unsafe self.table = table.assumingMemoryBound(to: clinux_uffd_ops.self)
  }
  static let kernel = UffdCallTable(copyOf: clinux_uffd_kernel)
  private static let shared = UffdCallTable(copyOf: clinux_uffd_shared)
  private static let sharedOld = UffdCallTable(copyOf: clinux_uffd_shared_old)

  private init(copyOf calls: clinux_uffd_ops) {
    let copy = UnsafeMutablePointer<clinux_uffd_ops>.allocate(capacity: 1)
    unsafe copy.initialize(to: calls)
    unsafe table = unsafe UnsafePointer(copy)
  }

  /// For a uffd whose open file a client holds, too. Nil: a read of it could be made to wait, where one of
  /// another uffd could not; `own` is one of this process.
  static func shared(with uffd: Descriptor, _ own: UffdCalls) -> UffdCallTable? {
    if clinux_uffd_reads_without_waiting(uffd.fd) == 1 { return shared }
    return clinux_uffd_reads_without_waiting(own.fd) == 1 ? nil : sharedOld
  }
}

/// What an install call answered: 0 or an errno, and the output field of its struct.
struct CallResult {
  /// 0, or the errno as a positive number.
  var error: Int32
  /// Bytes done, when positive. Never counted when zero or negative.
  var done: Int64

  @inline(__always)
  var succeeded: Bool { error == 0 }
}

/// The calls of one uffd. A view: the descriptor belongs to its `Userfaultfd`.
@safe struct UffdCalls: @unchecked Sendable {
  let fd: Int32
  private let table: UnsafePointer<clinux_uffd_ops>

  init(fd: Int32, table: UffdCallTable) {
    self.fd = fd
    unsafe self.table = table.table
  }

  /// read(2): bytes read, or a negative errno.
  @inline(__always)
  func read(_ buffer: UnsafeMutableRawPointer, _ length: Int) -> Int {
    unsafe Int(table.pointee.read(fd, buffer, UInt64(length)))
  }
  /// UFFDIO_COPY. Unless it `wakes` (UFFDIO_COPY_MODE_DONTWAKE), who sleeps on the page sleeps until `wake`.
  @inline(__always)
  func copy(
    to destination: UInt64, from source: UnsafeRawPointer, length: UInt64, wakes: Bool = true
  ) -> CallResult {
    var done: Int64 = 0
    let result = unsafe table.pointee.copy(
      fd, destination, UInt64(UInt(bitPattern: source)), length, Self.mode(wakes), &done)
    return CallResult(error: -result, done: done)
  }
  /// Whether [start, start + length) is in one mapping that is watched. Nothing is installed: a COPY that
  /// write-protects is refused in a mapping that is not watched for that (EINVAL), after that it lies in one
  /// was looked at (ENOENT), and elsewhere its source cannot be read (EFAULT).
  func isOneMapping(_ start: UInt64, length: UInt64) -> Bool {
    // A source that reaches above what can be mapped would be refused (EINVAL) before anything is looked at.
    guard let source = Mapping.unreadable, source < start else { return false }
    var done: Int64 = 0
    let result = unsafe table.pointee.copy(
      fd, start, source, length, CLINUX_DONTWAKE | CLINUX_COPY_WP, &done)
    let error = Errno(-result)
    return error == .EINVAL || error == .EFAULT || error == .EEXIST
  }

  /// UFFDIO_ZEROPAGE. `wakes` as for `copy`.
  @inline(__always)
  func zero(_ start: UInt64, length: UInt64, wakes: Bool = true) -> CallResult {
    var done: Int64 = 0
    let result = unsafe table.pointee.zeropage(fd, start, length, Self.mode(wakes), &done)
    return CallResult(error: -result, done: done)
  }
  /// UFFDIO_CONTINUE. `wakes` as for `copy`.
  @inline(__always)
  func `continue`(_ start: UInt64, length: UInt64, wakes: Bool = true) -> CallResult {
    var done: Int64 = 0
    let result = unsafe table.pointee.continue_(fd, start, length, Self.mode(wakes), &done)
    return CallResult(error: -result, done: done)
  }
  /// UFFDIO_POISON.
  @inline(__always)
  func poison(_ start: UInt64, length: UInt64) -> CallResult {
    var done: Int64 = 0
    let result = unsafe table.pointee.poison(fd, start, length, 0, &done)
    return CallResult(error: -result, done: done)
  }
  @inline(__always)
  private static func mode(_ wakes: Bool) -> UInt64 { wakes ? 0 : CLINUX_DONTWAKE }
  /// UFFDIO_WAKE. Succeeds on any page-aligned range, mapped or not.
  @inline(__always)
  func wake(_ start: UInt64, length: UInt64) {
    _ = unsafe table.pointee.wake(fd, start, length)
  }
}

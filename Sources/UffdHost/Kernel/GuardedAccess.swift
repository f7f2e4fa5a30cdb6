// SPDX-License-Identifier: Apache-2.0
// Touching served memory from a thread that must survive a poisoned page. For the command and for tests:
// an ordinary client gets the SIGBUS.
import CLinux

/// Accesses of which a SIGBUS or SIGSEGV is a result and not the end of the process.
package enum GuardedAccess {
  /// Installs the handlers, once per process, before the first access. Other faults keep their meaning.
  package static func install() { clinux_install_access_guard() }

  /// Loads one byte, or stores it back. 0, or the signal that the access raised.
  @inline(__always)
  package static func touch(_ address: UnsafeRawPointer, write: Bool = false) -> Int32 {
    unsafe clinux_touch(address, write ? 1 : 0)
  }

  /// What a comparison found.
  package enum Comparison: Equatable {
    case equal
    case differs(at: UInt64)
    case signal(Int32)
  }

  package static func compare(
    _ a: UnsafeRawPointer, _ b: UnsafeRawPointer, length: Int
  ) -> Comparison {
    var offset: UInt64 = 0
    let result = unsafe clinux_compare(a, b, UInt64(length), &offset)
    switch result {
    case 0: return .equal
    case -1: return .differs(at: offset)
    default: return .signal(result)
    }
  }
}

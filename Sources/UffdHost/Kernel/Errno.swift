// SPDX-License-Identifier: Apache-2.0
// Errors of the kernel as values. The C layer returns them negated; nobody reads `errno` here.
import CLinux

/// An error number of the kernel (errno(3)).
package struct Errno: Error, Equatable, Sendable {
  package let rawValue: Int32
  package init(_ rawValue: Int32) { self.rawValue = rawValue }

  /// The symbolic name, as in `EAGAIN`. Messages show this and never the bare number.
  package var name: String {
    guard let text = unsafe clinux_errno_name(rawValue) else { return "errno \(rawValue)" }
    return unsafe String(cString: text)
  }
}

// The kernel's own names.
// swift-format-ignore: AlwaysUseLowerCamelCase
extension Errno {
  static let ENOENT = Errno(2)
  static let ESRCH = Errno(3)
  static let EINTR = Errno(4)
  static let EIO = Errno(5)
  static let EAGAIN = Errno(11)
  static let ENOMEM = Errno(12)
  static let EFAULT = Errno(14)
  static let EEXIST = Errno(17)
  static let EINVAL = Errno(22)
  static let ENFILE = Errno(23)
  static let EMFILE = Errno(24)
  static let ENOSPC = Errno(28)
  static let EBADFD = Errno(77)
  static let EOPNOTSUPP = Errno(95)
}

/// Turns the C layer's "value or negative errno" into a value or a thrown `Errno`.
@inline(__always)
func check(_ result: Int32) throws(Errno) -> Int32 {
  if result < 0 { throw Errno(-result) }
  return result
}

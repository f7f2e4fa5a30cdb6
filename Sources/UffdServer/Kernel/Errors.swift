// SPDX-License-Identifier: Apache-2.0
// The kernel's refusals that the server tells apart. The C layer returns them negated.
import UffdHost

// The kernel's own names.
// swift-format-ignore: AlwaysUseLowerCamelCase
extension Errno {
  static let ENOENT = Errno(2)
  static let EINTR = Errno(4)
  static let EAGAIN = Errno(11)
  static let EACCES = Errno(13)
  static let EEXIST = Errno(17)
  static let EINVAL = Errno(22)
  static let ENFILE = Errno(23)
  static let EMFILE = Errno(24)
  static let ENOPROTOOPT = Errno(92)
  static let ECONNREFUSED = Errno(111)
}

/// Turns the C layer's "value or negative errno" into a value or a thrown `Errno`.
func checked(_ result: Int32) throws(Errno) -> Int32 {
  if result < 0 { throw Errno(-result) }
  return result
}

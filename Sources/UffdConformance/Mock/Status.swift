// SPDX-License-Identifier: Apache-2.0
import UffdPluginABI

/// `uffd_status` with the names that the header uses.
struct Status: Equatable, Sendable, CustomStringConvertible {
  let raw: UInt32
  init(_ raw: uffd_status) { self.raw = raw.rawValue }
  private init(_ raw: UInt32) { self.raw = raw }

  static let ok = Status(0)
  static let absent = Status(1)
  static let busy = Status(2)
  static let outOfRange = Status(3)
  static let noMemory = Status(4)
  static let ioError = Status(5)
  static let gone = Status(6)

  private static let names = [
    "OK", "ABSENT", "BUSY", "OUT_OF_RANGE", "NO_MEMORY", "IO_ERROR", "GONE",
  ]
  var isKnown: Bool { raw < UInt32(Status.names.count) }
  var description: String { isKnown ? Status.names[Int(raw)] : "the unknown status \(raw)" }
}

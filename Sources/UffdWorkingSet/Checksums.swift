// SPDX-License-Identifier: Apache-2.0
// The two sums that the file format needs, both small enough to be
// written again from their one-line definitions.

/// CRC-32 as in zlib, PNG and Ethernet: polynomial 0xedb88320 (reflected), begun and ended with all ones.
struct CRC32 {
  private static let table: [UInt32] = (0..<256).map { index in
    var value = UInt32(index)
    for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xedb8_8320 : value >> 1 }
    return value
  }

  static func of(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var value = UInt32.max
    let table = table
    for byte in bytes { value = value >> 8 ^ table[Int((value ^ UInt32(byte)) & 0xff)] }
    return ~value
  }
}

/// FNV-1a with 64 bits: for each byte, exclusive or, then times 0x100000001b3.
struct FNV1a {
  private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

  mutating func add(_ bytes: some Sequence<UInt8>) {
    for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
  }

  /// The eight bytes of a number, the lowest first.
  mutating func add(_ number: UInt64) {
    for shift in 0..<8 { add([UInt8(truncatingIfNeeded: number >> UInt64(shift * 8))]) }
  }
}

// SPDX-License-Identifier: Apache-2.0
// A working set as the bytes of its file: docs/workingset.md, byte for byte.

extension WorkingSet {
  enum Format {
    /// "UFFDWSET"
    static let magic: [UInt8] = [0x55, 0x46, 0x46, 0x44, 0x57, 0x53, 0x45, 0x54]
    static let version: UInt32 = 1
    static let headerLength = 88
    static let checksumLength = 4
    /// Of the provider's name.
    static let longestName = 255
    /// An object has no more bytes than a file can have.
    static let largestObject = UInt64(Int64.max)
  }

  /// The whole file.
  public func encoded() -> [UInt8] {
    var list: [UInt8] = []
    list.reserveCapacity(entries.count * 5)
    var pgoff: UInt64 = 0
    var time: UInt64 = 0
    for entry in entries {
      let step = Int64(bitPattern: entry.pgoff &- pgoff)
      // Small steps in either direction become small numbers.
      Self.appendVariable(UInt64(bitPattern: step &<< 1 ^ step &>> 63), to: &list)
      Self.appendVariable(entry.microseconds &- time, to: &list)
      pgoff = entry.pgoff
      time = entry.microseconds
    }
    var shortened = provider
    while shortened.utf8.count > Format.longestName { shortened.removeLast() }
    let name = Array(shortened.utf8)
    var file = Format.magic
    Self.append(Format.version, to: &file)
    Self.append(UInt32(Format.headerLength), to: &file)
    Self.append(granule, to: &file)
    Self.append(objectSize, to: &file)
    let (kind, first, second): (UInt32, UInt64, UInt64) =
      switch identity {
      case .named(let high, let low): (1, high, low)
      case .described(let configuration, let content): (2, configuration, content)
      }
    Self.append(kind, to: &file)
    Self.append(UInt32(name.count), to: &file)
    for number in [
      first, second, recordedAt, microseconds, UInt64(entries.count), UInt64(list.count),
    ] {
      Self.append(number, to: &file)
    }
    file += name
    file += list
    Self.append(CRC32.of(file), to: &file)
    return file
  }

  private static func append(_ number: some FixedWidthInteger, to bytes: inout [UInt8]) {
    for shift in stride(from: 0, to: number.bitWidth, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: number >> shift))
    }
  }

  /// LEB128: seven bits a byte, the lowest first; the highest bit says that more follow.
  private static func appendVariable(_ number: UInt64, to bytes: inout [UInt8]) {
    var rest = number
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}

// SPDX-License-Identifier: Apache-2.0
// Content, copied out of wherever a provider put it. Compared with memcmp: a debug build walks arrays slowly.
import CLinux
import Glibc

/// Some bytes of content.
struct Bytes: Sendable {
  let storage: [UInt8]

  /// A copy of memory of ours.
  init(_ start: UnsafeRawPointer, _ length: Int) {
    storage = unsafe Array(UnsafeRawBufferPointer(start: start, count: length))
  }

  init(zeroes length: Int) { storage = [UInt8](repeating: 0, count: length) }

  init(_ storage: [UInt8]) { self.storage = storage }

  /// A copy of memory that a provider says is readable; nil where it is not.
  init?(carefully start: UnsafeRawPointer, _ length: Int) {
    var isReadable = false
    storage = unsafe [UInt8](unsafeUninitializedCapacity: length) { room, count in
      // SAFETY: the room holds `length` bytes; what cannot be read is not claimed as initialised.
      isReadable = unsafe clinux_read_carefully(start, room.baseAddress!, UInt64(length)) == 0
      if !isReadable { unsafe memset(room.baseAddress!, 0, length) }
      count = length
    }
    if !isReadable { return nil }
  }

  var count: Int { storage.count }

  /// `length` bytes from `offset`.
  func slice(_ offset: Int, _ length: Int) -> Bytes {
    Bytes(Array(storage[offset..<(offset + length)]))
  }

  /// The first index at which the two differ; a missing byte differs. Nil: they are equal.
  func firstDifference(_ other: Bytes) -> Int? {
    let length = min(count, other.count)
    let isSame = unsafe storage.withUnsafeBytes { left in
      unsafe other.storage.withUnsafeBytes { right in
        unsafe length == 0 || memcmp(left.baseAddress!, right.baseAddress!, length) == 0
      }
    }
    if isSame { return count == other.count ? nil : length }
    for index in 0..<length where storage[index] != other.storage[index] { return index }
    return nil
  }

  var isZero: Bool { firstDifference(Bytes(zeroes: count)) == nil }
}

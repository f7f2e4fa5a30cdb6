// SPDX-License-Identifier: Apache-2.0
// Reading memory that a provider points to without trusting the pointer.
import CLinux

/// Copies `length` bytes from `source`; false where they are not readable (process_vm_readv(2) on
/// ourselves answers EFAULT where a load would crash).
func readCarefully(
  _ source: UnsafeRawPointer, into destination: UnsafeMutableRawPointer, length: Int
) -> Bool {
  unsafe clinux_read_carefully(source, destination, UInt64(length)) == 0
}

/// A NUL-terminated string of at most `limit` bytes, or nil: unreadable, unterminated, or not UTF-8.
///
/// Read in pieces that do not cross the end of a page, behind which a string that ends before it may have
/// nothing readable. A call for each byte was half a millisecond of a start.
func stringCarefully(_ source: UnsafePointer<CChar>?, limit: Int = 4096) -> String? {
  guard let source = unsafe source else { return nil }
  var bytes: [UInt8] = []
  return unsafe withUnsafeTemporaryAllocation(byteCount: stringPiece, alignment: 1) { room in
    while bytes.count <= limit {
      let place = unsafe UnsafeRawPointer(source) + bytes.count
      let inPage = stringPage - Int(bitPattern: place) & (stringPage - 1)
      let length = min(stringPiece, inPage, limit + 1 - bytes.count)
      guard unsafe readCarefully(place, into: room.baseAddress!, length: length) else { return nil }
      let piece = unsafe room[..<length]
      guard let end = unsafe piece.firstIndex(of: 0) else {
        unsafe bytes.append(contentsOf: piece)
        continue
      }
      if bytes.isEmpty { return unsafe String(validating: piece[..<end], as: UTF8.self) }
      unsafe bytes.append(contentsOf: piece[..<end])
      return String(validating: bytes, as: UTF8.self)
    }
    return nil
  }
}

/// The smallest page there is; larger ones end where one of these does.
private let stringPage = 4096
/// Most strings of a provider are shorter.
private let stringPiece = 256

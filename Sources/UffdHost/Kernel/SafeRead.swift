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
func stringCarefully(_ source: UnsafePointer<CChar>?, limit: Int = 4096) -> String? {
  guard let source = unsafe source else { return nil }
  var bytes: [UInt8] = []
  while bytes.count <= limit {
    var byte: UInt8 = 0
    let readable = unsafe withUnsafeMutableBytes(of: &byte) { room in
      unsafe readCarefully(
        UnsafeRawPointer(source) + bytes.count, into: room.baseAddress!, length: 1)
    }
    guard readable else { return nil }
    if byte == 0 { return String(validating: bytes, as: UTF8.self) }
    bytes.append(byte)
  }
  return nil
}

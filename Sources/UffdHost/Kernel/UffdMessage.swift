// SPDX-License-Identifier: Apache-2.0
// `struct uffd_msg`: 32 bytes, the event at 0, its payload from 8 (ioctl_userfaultfd(2)). Loaded field
// by field at fixed offsets, which the C layer asserts against the header.
import CLinux

/// One message of a userfaultfd, still where read(2) put it.
@safe struct UffdMessage {
  static let size = 32
  private let bytes: UnsafeRawPointer

  @inline(__always)
  init(_ bytes: UnsafeRawPointer) { unsafe self.bytes = bytes }

  @inline(__always)
  var event: UInt8 { unsafe bytes.load(as: UInt8.self) }
  @inline(__always)
  var isFault: Bool { event == CLINUX_EVENT_PAGEFAULT }

  /// PAGEFAULT: `UFFD_PAGEFAULT_FLAG_*`, and the address rounded down to the page.
  @inline(__always)
  var faultFlags: UInt64 { unsafe bytes.load(fromByteOffset: 8, as: UInt64.self) }
  @inline(__always)
  var faultAddress: UInt64 { unsafe bytes.load(fromByteOffset: 16, as: UInt64.self) }

  /// REMOVE and UNMAP: the range, end exclusive.
  @inline(__always)
  var rangeStart: UInt64 { unsafe bytes.load(fromByteOffset: 8, as: UInt64.self) }
  @inline(__always)
  var rangeEnd: UInt64 { unsafe bytes.load(fromByteOffset: 16, as: UInt64.self) }

  /// REMAP: where it was, where it is, and its old length.
  @inline(__always)
  var remapFrom: UInt64 { unsafe bytes.load(fromByteOffset: 8, as: UInt64.self) }
  @inline(__always)
  var remapTo: UInt64 { unsafe bytes.load(fromByteOffset: 16, as: UInt64.self) }
  @inline(__always)
  var remapLength: UInt64 { unsafe bytes.load(fromByteOffset: 24, as: UInt64.self) }

  /// FORK: the child's uffd, in the table of whoever read the message.
  @inline(__always)
  var forkDescriptor: Int32 { unsafe bytes.load(fromByteOffset: 8, as: Int32.self) }

  static let fork: UInt8 = 0x13
  static let remap: UInt8 = 0x14
  static let remove: UInt8 = 0x15
  static let unmap: UInt8 = 0x16
  static let writeFlag: UInt64 = 1
  static let wpFlag: UInt64 = 2
  static let minorFlag: UInt64 = 4
}

// SPDX-License-Identifier: Apache-2.0
// The numbers of the native protocol (docs/protocol.md), and how its
// frames are cut out of bytes and put together. Pure: knows no descriptor and no meaning.

/// The numbers that both sides know.
package enum NativeWire {
  /// The first bytes of both directions.
  package static let magic = Array("UFFDHOST".utf8)
  package static let versions: ClosedRange<UInt16> = 1...1
  package static let mostFrameBytes = 65536
  /// Less than this nobody may ask for: a refusal has to fit.
  package static let leastFrameBytes = 4096
  package static let mostDescriptors = 16
  package static let headerBytes = 16
  /// Of REFUSED, in bytes of UTF-8.
  package static let mostReasonBytes = 1024
  /// `backing` of a region that maps none.
  package static let noBacking = UInt32.max

  /// As addresses and flags are written in sentences.
  static func hex(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }

  package enum Kind: UInt16, CaseIterable, Sendable {
    case hello = 0x0001
    case attach = 0x0002
    case addRegions = 0x0003
    case removeRegion = 0x0004
    case progress = 0x0005
    case drain = 0x0006
    case detach = 0x0007
    case status = 0x0008
  }

  package enum Answer: UInt16, CaseIterable, Sendable {
    case hello = 0x8001
    case done = 0x8002
    case refused = 0x8003
    case progress = 0x8004
    case status = 0x8005
  }

  /// Of REFUSED.
  package enum Code: UInt32, CaseIterable, Sendable {
    /// What was sent breaks the rules of the page; the connection ends.
    case form = 1
    /// No version in common; the connection ends.
    case version = 2
    /// The request cannot be fulfilled. Others may follow.
    case request = 3
  }

  package struct Capability: OptionSet, Sendable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    /// Takes memfds with regions.
    package static let backing = Self(rawValue: 1)
    /// ADD_REGIONS and REMOVE_REGION.
    package static let change = Self(rawValue: 2)
    package static let status = Self(rawValue: 4)
  }
  package static let capabilities: Capability = [.backing, .change, .status]

  package struct RegionFlag: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let shared = Self(rawValue: 1)
    package static let strayContent = Self(rawValue: 2)
    package static let known: Self = [.shared, .strayContent]
  }

  /// The kernel's `UFFDIO_REGISTER_MODE_*`.
  package struct Mode: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let missing = Self(rawValue: 1)
    package static let wp = Self(rawValue: 2)
    package static let minor = Self(rawValue: 4)
    package static let known: Self = [.missing, .wp, .minor]
  }
}

/// The 16 bytes before every body, which never grow.
package struct NativeHeader: Equatable {
  /// Of the whole frame.
  package var length: UInt32
  package var kind: UInt16
  /// That ride on the frame's first byte.
  package var descriptors: UInt16
  package var id: UInt64

  package init(length: UInt32, kind: UInt16, descriptors: UInt16, id: UInt64) {
    self.length = length
    self.kind = kind
    self.descriptors = descriptors
    self.id = id
  }

  /// The header at the front of `bytes`; nil: they are too few.
  package init?(_ bytes: [UInt8]) {
    guard bytes.count >= NativeWire.headerBytes else { return nil }
    let fields = NativeFields(bytes[..<NativeWire.headerBytes])
    length = fields.u32(0)
    kind = fields.u16(4)
    descriptors = fields.u16(6)
    id = fields.u64(8)
  }

  /// The length can be that of a frame: a header and a body that has at least a size and one word.
  package var isSound: Bool {
    length >= NativeWire.headerBytes + 8 && length <= NativeWire.mostFrameBytes
  }
}

/// A struct of the wire: fields at fixed offsets. Beyond its end every field is zero.
package struct NativeFields {
  private let bytes: ArraySlice<UInt8>
  package init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

  package func u16(_ offset: Int) -> UInt16 { UInt16(truncatingIfNeeded: load(offset, 2)) }
  package func u32(_ offset: Int) -> UInt32 { UInt32(truncatingIfNeeded: load(offset, 4)) }
  package func u64(_ offset: Int) -> UInt64 { load(offset, 8) }

  /// Nothing but zeroes from `offset` on: nothing is said that we do not know.
  package func isZero(from offset: Int) -> Bool {
    bytes.dropFirst(offset).allSatisfy { $0 == 0 }
  }

  private func load(_ offset: Int, _ width: Int) -> UInt64 {
    guard offset + width <= bytes.count else { return 0 }
    let start = bytes.startIndex + offset
    return bytes[start..<(start + width)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}

/// Puts a frame together: fields in their order, little-endian, and the header when all is there.
package struct NativeFrameWriter {
  private var body: [UInt8] = []
  package init() {}

  package mutating func put(_ value: some FixedWidthInteger) {
    for index in 0..<(value.bitWidth / 8) {
      body.append(UInt8(truncatingIfNeeded: value >> (index * 8)))
    }
  }
  package mutating func put(_ text: ArraySlice<UInt8>) { body += text }

  package func frame(_ answer: NativeWire.Answer, id: UInt64) -> [UInt8] {
    frame(kind: answer.rawValue, descriptors: 0, id: id)
  }

  package func frame(kind: UInt16, descriptors: UInt16, id: UInt64) -> [UInt8] {
    var writer = Self()
    writer.put(UInt32(NativeWire.headerBytes + body.count))
    writer.put(kind)
    writer.put(descriptors)
    writer.put(id)
    return writer.body + body
  }
}

// SPDX-License-Identifier: Apache-2.0
// What the bodies of the native protocol's requests say, and the rules
// of form that docs/protocol.md sets for them. Pure.
import UffdHost

/// The body of a request: a struct that begins with its size, and what follows it.
struct NativeBody {
  let fields: NativeFields
  /// What lies behind the struct.
  let rest: ArraySlice<UInt8>
  private let what: String

  /// `known`: the size of the struct in our version. A longer one comes from a newer client, which has to
  /// leave what we do not know zero.
  init(_ bytes: [UInt8], known: Int, _ what: String) throws(Refusal) {
    self.what = what
    let size = UInt64(NativeFields(bytes[...]).u32(0))
    guard size >= known, size % 8 == 0 else {
      throw Refusal(
        "\(what) has a struct of \(size) bytes, and it takes at least \(known), in eights")
    }
    guard size <= bytes.count else {
      throw Refusal("\(what) has a struct of \(size) bytes in a body of \(bytes.count)")
    }
    fields = NativeFields(bytes[..<Int(size)])
    rest = bytes[Int(size)...]
  }

  /// A request says nothing that this version does not know.
  func expectNothingUnknown(from known: Int) throws(Refusal) {
    guard fields.isZero(from: known) else {
      throw Refusal("\(what) sets a field beyond byte \(known), which this server does not know")
    }
  }

  func expectNoFlags() throws(Refusal) {
    let flags = fields.u32(4)
    guard flags == 0 else {
      throw Refusal("\(what) has the flags \(NativeWire.hex(flags)), and this server knows none")
    }
  }

  func expectNothingBehind() throws(Refusal) {
    guard rest.isEmpty else {
      throw Refusal("\(what) has \(rest.count) bytes behind what it says")
    }
  }
}

/// The versions and limits of a HELLO. What is unknown in it is ignored: it is how versions are found out.
struct NativeHello {
  static let size = 24
  /// The server's, which says more.
  static let serverSize = 40
  let versions: ClosedRange<UInt16>
  let mostFrameBytes: Int

  init(_ bytes: [UInt8]) throws(Refusal) {
    let fields = try NativeBody(bytes, known: Self.size, "HELLO").fields
    let (least, most) = (fields.u16(4), fields.u16(6))
    guard least >= 1, least <= most else {
      throw Refusal("HELLO names the versions \(least) to \(most), which is no range from 1 on")
    }
    versions = least...most
    let frame = fields.u32(16)
    guard frame >= NativeWire.leastFrameBytes else {
      throw Refusal(
        "HELLO wants frames of at most \(frame) bytes, and there have to be "
          + "\(NativeWire.leastFrameBytes)")
    }
    mostFrameBytes = min(Int(frame), NativeWire.mostFrameBytes)
  }

  /// What the server writes first: the magic, and its own HELLO. A frame brings no more descriptors than may
  /// wait.
  static func greeting(
    _ object: ServedObject, _ mostDescriptors: Int = NativeWire.mostDescriptors
  ) -> [UInt8] {
    var writer = NativeFrameWriter()
    writer.put(UInt32(serverSize))
    writer.put(NativeWire.versions.lowerBound)
    writer.put(NativeWire.versions.upperBound)
    writer.put(NativeWire.capabilities.rawValue)
    writer.put(UInt32(NativeWire.mostFrameBytes))
    writer.put(UInt32(min(mostDescriptors, NativeWire.mostDescriptors)))
    writer.put(object.size)
    writer.put(object.pageSize)
    return NativeWire.magic + writer.frame(.hello, id: 0)
  }
}

/// ATTACH and ADD_REGIONS: regions, and how many of the frame's descriptors are backings.
struct NativeRegions {
  static let size = 24
  static let stride = 48
  let regions: [ClientRegion]
  let backings: Int

  init(_ bytes: [UInt8], _ what: String) throws(Refusal) {
    let body = try NativeBody(bytes, known: Self.size, what)
    try body.expectNoFlags()
    try body.expectNothingUnknown(from: 20)
    let (count, stride) = (UInt64(body.fields.u32(8)), UInt64(body.fields.u32(12)))
    guard count > 0 else { throw Refusal("\(what) names no region") }
    guard stride >= Self.stride, stride % 8 == 0 else {
      throw Refusal(
        "\(what) has regions of \(stride) bytes, and one takes at least \(Self.stride), in eights")
    }
    guard body.rest.count == count * stride else {
      throw Refusal(
        "\(what) names \(count) regions of \(stride) bytes, and \(body.rest.count) bytes follow")
    }
    let backings = Int(body.fields.u32(16))
    var regions: [ClientRegion] = []
    var used: Set<Int> = []
    var rest = body.rest
    for index in 0..<Int(count) {
      let region = try ClientRegion(
        NativeFields(rest.prefix(Int(stride))), backings: backings, "region \(index) of \(what)")
      if let backing = region.backing { used.insert(backing) }
      regions.append(region)
      rest = rest.dropFirst(Int(stride))
    }
    guard used.count == backings else {
      throw Refusal("\(what) brings \(backings) backings, of which its regions name \(used.count)")
    }
    self.regions = regions
    self.backings = backings
  }
}

extension ClientRegion {
  /// One region, checked for what can be seen in its own numbers.
  fileprivate init(_ fields: NativeFields, backings: Int, _ what: String) throws(Refusal) {
    let flags = NativeWire.RegionFlag(rawValue: fields.u32(32))
    let modes = NativeWire.Mode(rawValue: fields.u32(36))
    let backing = fields.u32(40)
    guard fields.isZero(from: 44) else {
      throw Refusal("\(what) sets a field beyond byte 44, which this server does not know")
    }
    guard NativeWire.RegionFlag.known.isSuperset(of: flags) else {
      throw Refusal(
        "\(what) has the flags \(NativeWire.hex(flags.rawValue)), of which this server knows 0x3")
    }
    guard NativeWire.Mode.known.isSuperset(of: modes) else {
      throw Refusal(
        "\(what) is registered in the modes \(NativeWire.hex(modes.rawValue)), which are unknown")
    }
    guard !modes.contains(.wp) else {
      throw Refusal(
        "\(what) is registered for write protection, which is not served: register it MISSING, or "
          + "MISSING and MINOR")
    }
    guard modes.contains(.missing) else {
      throw Refusal("\(what) is not registered MISSING, so that nothing could be filled")
    }
    guard backing == NativeWire.noBacking || backing < backings else {
      throw Refusal("\(what) names backing \(backing), and the frame brings \(backings)")
    }
    self.init(
      start: fields.u64(0), length: fields.u64(8), offset: fields.u64(16), pageSize: fields.u64(24),
      sharing: flags.contains(.shared) ? .shared : .private, isMinor: modes.contains(.minor),
      backing: backing == NativeWire.noBacking ? nil : Int(backing),
      strayPages: flags.contains(.strayContent) ? .areContent : .refused)
    try checkNumbers(what)
  }

  private func checkNumbers(_ what: String) throws(Refusal) {
    guard pageSize >= 4096, pageSize & (pageSize - 1) == 0 else {
      throw Refusal("\(what) has pages of \(pageSize) bytes, which is no power of two from 4096 on")
    }
    guard length > 0 else { throw Refusal("\(what) is empty") }
    for (name, value) in [("start", start), ("length", length), ("offset", offset)] {
      guard value % pageSize == 0 else {
        throw Refusal(
          "\(what) has the \(name) \(NativeWire.hex(value)), no multiple of its \(pageSize)-byte pages"
        )
      }
    }
    // Addresses and file offsets are signed in the kernel.
    for (name, value) in [("address space", start), ("object", offset)] {
      let (end, isBeyond) = value.addingReportingOverflow(length)
      guard !isBeyond, end <= UInt64(Int64.max) else {
        throw Refusal(
          "\(what) is \(length) bytes from \(NativeWire.hex(value)), beyond the end of any \(name)")
      }
    }
  }
}

/// REMOVE_REGION.
struct NativeRange {
  static let size = 24
  let start: UInt64
  let length: UInt64

  init(_ bytes: [UInt8]) throws(Refusal) {
    let body = try NativeBody(bytes, known: Self.size, "REMOVE_REGION")
    try body.expectNoFlags()
    try body.expectNothingUnknown(from: Self.size)
    try body.expectNothingBehind()
    (start, length) = (body.fields.u64(8), body.fields.u64(16))
    guard length > 0, !start.addingReportingOverflow(length).overflow else {
      throw Refusal(
        "REMOVE_REGION names \(length) bytes from \(NativeWire.hex(start)), which is no range")
    }
  }
}

/// PROGRESS, DRAIN, DETACH and STATUS.
struct NativePlain {
  static let size = 8

  init(_ bytes: [UInt8], _ what: String) throws(Refusal) {
    let body = try NativeBody(bytes, known: Self.size, what)
    try body.expectNoFlags()
    try body.expectNothingUnknown(from: Self.size)
    try body.expectNothingBehind()
  }
}

// SPDX-License-Identifier: Apache-2.0
// The client's side of the native protocol for tests: frames, right ones and wrong ones.
import Glibc
import UffdHost

@testable import UffdServer

/// A region as it goes over the wire, also one that no server takes.
struct NativeRegionFields {
  var start: UInt64 = 0x7f00_0000_0000
  var length: UInt64 = 0x10000
  var offset: UInt64 = 0
  var pageSize: UInt64 = 4096
  var flags: UInt32 = 0
  var modes: UInt32 = 1
  var backing: UInt32 = .max
  var reserved: UInt32 = 0
  /// Fields of a version that does not exist.
  var more: [UInt8] = []
}

enum NativeRequests {
  static func hello(
    _ versions: (UInt16, UInt16) = (1, 1), capabilities: UInt64 = 0, mostFrameBytes: UInt32 = 65536,
    more: [UInt8] = [], id: UInt64 = 1
  ) -> [UInt8] {
    var writer = NativeFrameWriter()
    writer.put(UInt32(24 + more.count))
    writer.put(versions.0)
    writer.put(versions.1)
    writer.put(capabilities)
    writer.put(mostFrameBytes)
    writer.put(UInt32(0))
    writer.put(more[...])
    return writer.frame(kind: 0x0001, descriptors: 0, id: id)
  }

  /// What every connection begins with.
  static let opening = Array("UFFDHOST".utf8) + hello()

  /// ATTACH, or with its kind ADD_REGIONS.
  static func attach(
    _ regions: [NativeRegionFields] = [NativeRegionFields()], backings: UInt32 = 0,
    kind: UInt16 = 0x0002, descriptors: UInt16? = nil, size: UInt32 = 24, flags: UInt32 = 0,
    count: UInt32? = nil, stride: UInt32? = nil, reserved: UInt32 = 0, more: [UInt8] = [],
    id: UInt64 = 2
  ) -> [UInt8] {
    var writer = NativeFrameWriter()
    writer.put(size)
    writer.put(flags)
    writer.put(count ?? UInt32(regions.count))
    writer.put(stride ?? 48 + UInt32(regions.first?.more.count ?? 0))
    writer.put(backings)
    writer.put(reserved)
    writer.put(more[...])
    for region in regions {
      for number in [region.start, region.length, region.offset, region.pageSize] {
        writer.put(number)
      }
      for number in [region.flags, region.modes, region.backing, region.reserved] {
        writer.put(number)
      }
      writer.put(region.more[...])
    }
    let brought = UInt16(backings) + (kind == 0x0002 ? 1 : 0)
    return writer.frame(kind: kind, descriptors: descriptors ?? brought, id: id)
  }

  static func remove(
    start: UInt64 = 0x7f00_0000_0000, length: UInt64 = 0x10000, size: UInt32 = 24,
    flags: UInt32 = 0, more: [UInt8] = [], descriptors: UInt16 = 0, id: UInt64 = 3
  ) -> [UInt8] {
    var writer = NativeFrameWriter()
    writer.put(size)
    writer.put(flags)
    writer.put(start)
    writer.put(length)
    writer.put(more[...])
    return writer.frame(kind: 0x0004, descriptors: descriptors, id: id)
  }

  /// PROGRESS 5, DRAIN 6, DETACH 7, STATUS 8; and any other.
  static func plain(
    _ kind: UInt16, size: UInt32 = 8, flags: UInt32 = 0, more: [UInt8] = [],
    descriptors: UInt16 = 0, id: UInt64 = 4
  ) -> [UInt8] {
    var writer = NativeFrameWriter()
    writer.put(size)
    writer.put(flags)
    writer.put(more[...])
    return writer.frame(kind: kind, descriptors: descriptors, id: id)
  }

  static func header(
    length: UInt32, kind: UInt16 = 5, descriptors: UInt16 = 0, id: UInt64 = 4
  ) -> [UInt8] {
    var writer = NativeFrameWriter()
    writer.put(length)
    writer.put(kind)
    writer.put(descriptors)
    writer.put(id)
    let frame = writer.frame(kind: 0, descriptors: 0, id: 0)
    return Array(frame.dropFirst(NativeWire.headerBytes))
  }
}

/// A descriptor that is open as long as somebody holds it.
func nativeDescriptor() -> Descriptor {
  let fd = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
  precondition(fd >= 0, "/dev/null cannot be opened")
  return Descriptor(owning: fd)
}

/// A connection as the server sees it.
struct NativeConnection {
  var dialect = Native()
  var inbox = Inbox()

  /// Past the HELLO.
  static func open() -> Self {
    var connection = Self()
    connection.inbox.bytes = NativeRequests.opening
    return connection
  }

  /// What came of some bytes: all requests, and the refusal that ended them.
  struct Outcome {
    var requests: [ClientRequest] = []
    var refusal: String?
  }

  mutating func deliver(_ bytes: [UInt8], _ descriptors: [Descriptor] = []) -> Outcome {
    inbox.bytes += bytes
    inbox.descriptors += descriptors
    var outcome = Outcome()
    do throws(Refusal) {
      while let request = try dialect.next(&inbox) { outcome.requests.append(request) }
    } catch {
      outcome.refusal = error.reason
    }
    return outcome
  }
}

extension ClientRequest {
  /// Everything but the descriptors, which are counted.
  var said: String {
    switch action {
    case .attach(_, let regions, let backings, _): "\(id) attach \(regions) \(backings.count)"
    case .addRegions(let regions, let backings): "\(id) add \(regions) \(backings.count)"
    case .removeRegion(let start, let length): "\(id) remove \(start) \(length)"
    case .progress: "\(id) progress"
    case .drain: "\(id) drain"
    case .detach: "\(id) detach"
    case .status: "\(id) status"
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// What the native dialect refuses, in which words, and what becomes of descriptors that nobody wanted.
import Testing
import UffdHost

@testable import UffdServer

@Suite("Native: refusals")
struct NativeRefusalTests {
  typealias Wrong = (name: String, bytes: [UInt8], descriptors: Int, reason: String)

  private static func region(
    _ name: String, _ reason: String, backings: UInt32 = 0,
    _ change: (inout NativeRegionFields) -> Void
  ) -> Wrong {
    var fields = NativeRegionFields()
    change(&fields)
    let frame = NativeRequests.attach([NativeRegionFields(), fields], backings: backings)
    return (name, frame, Int(backings) + 1, "region 1 of ATTACH " + reason)
  }

  private static let ones: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 1]

  static let regions: [Wrong] = [
    region("no power of two", "has pages of 12288 bytes") { $0.pageSize = 12288 },
    region("small pages", "has pages of 2048 bytes") { $0.pageSize = 2048 },
    region("no pages", "has pages of 0 bytes") { $0.pageSize = 0 },
    region("empty", "is empty") { $0.length = 0 },
    region("start", "has the start 0x7f0000000800, no multiple") { $0.start += 2048 },
    region("length", "has the length 0x10001, no multiple") { $0.length += 1 },
    region("offset", "has the offset 0x1000, no multiple of its 2097152-byte pages") {
      ($0.pageSize, $0.length, $0.offset) = (2 << 20, 2 << 20, 4096)
    },
    region("wraps", "is 65536 bytes from 0xfffffffffffff000, beyond the end of any address") {
      $0.start = UInt64.max - 4095
    },
    region("end of addresses", "is 65536 bytes from 0x7ffffffffffff000, beyond the end of any add")
    { $0.start = UInt64(Int64.max) - 4095 },
    region("end of offsets", "is 65536 bytes from 0x7ffffffffffff000, beyond the end of any obj") {
      $0.offset = UInt64(Int64.max) - 4095
    },
    region("flags", "has the flags 0x6, of which this server knows 0x3") { $0.flags = 6 },
    region("write protection", "is registered for write protection, which is not") { $0.modes = 3 },
    region("modes", "is registered in the modes 0x9, which are unknown") { $0.modes = 9 },
    region("minor alone", "is not registered MISSING") { $0.modes = 4 },
    region("no mode", "is not registered MISSING") { $0.modes = 0 },
    region("reserved", "sets a field beyond byte 44") { $0.reserved = 1 },
    region("no such backing", "names backing 0, and the frame brings 0") { $0.backing = 0 },
    region("beyond the backings", "names backing 2, and the frame brings 2", backings: 2) {
      $0.backing = 2
    },
    (
      "unknown field", NativeRequests.attach([NativeRegionFields(more: ones)]), 1,
      "region 0 of ATTACH sets a field beyond byte 44"
    ),
    (
      "unused backing", NativeRequests.attach(backings: 2), 3,
      "ATTACH brings 2 backings, of which its regions name 0"
    ),
  ]

  static let bodies: [Wrong] = [
    ("no region", NativeRequests.attach([]), 1, "ATTACH names no region"),
    ("short stride", NativeRequests.attach(stride: 40), 1, "ATTACH has regions of 40 bytes"),
    ("odd stride", NativeRequests.attach(stride: 52), 1, "ATTACH has regions of 52 bytes"),
    ("too few", NativeRequests.attach(count: 2), 1, "ATTACH names 2 regions of 48 bytes, and 48 b"),
    (
      "endlessly many", NativeRequests.attach(count: .max, stride: .max - 7), 1,
      "ATTACH names 4294967295 regions of 4294967288 bytes, and 48 bytes follow"
    ),
    ("flags", NativeRequests.attach(flags: 2), 1, "ATTACH has the flags 0x2"),
    ("reserved", NativeRequests.attach(reserved: 1), 1, "ATTACH sets a field beyond byte 20"),
    ("short struct", NativeRequests.attach(size: 16), 1, "ATTACH has a struct of 16 bytes"),
    ("odd struct", NativeRequests.attach(size: 28), 1, "ATTACH has a struct of 28 bytes"),
    (
      "long struct", NativeRequests.attach(size: 80), 1, "ATTACH has a struct of 80 bytes in a body"
    ),
    (
      "unknown field", NativeRequests.attach(size: 32, more: ones), 1,
      "ATTACH sets a field beyond byte 20"
    ),
    ("behind", NativeRequests.plain(6, more: [0]), 0, "DRAIN has 1 bytes behind what it says"),
    ("flags of a plain one", NativeRequests.plain(7, flags: 1), 0, "DETACH has the flags 0x1"),
    ("short plain one", NativeRequests.plain(8, size: 0), 0, "STATUS has a struct of 0 bytes"),
    ("range behind", NativeRequests.remove(more: ones), 0, "REMOVE_REGION has 8 bytes behind"),
    ("range flags", NativeRequests.remove(flags: 8), 0, "REMOVE_REGION has the flags 0x8"),
    ("empty range", NativeRequests.remove(length: 0), 0, "REMOVE_REGION names 0 bytes from 0x7f00"),
    ("range wraps", NativeRequests.remove(length: .max), 0, "REMOVE_REGION names 184467440737095"),
  ]

  static let frames: [Wrong] = [
    ("short frame", NativeRequests.header(length: 23), 0, "a frame says that it has 23 bytes"),
    ("long frame", NativeRequests.header(length: 65537), 0, "a frame says that it has 65537 bytes"),
    (
      "many descriptors", NativeRequests.header(length: 24, descriptors: 17), 0,
      "a frame says that it brings 17 descriptors, and it may bring 16"
    ),
    ("kind", NativeRequests.plain(9), 0, "a frame is of the kind 0x9"),
    ("an answer", NativeRequests.plain(0x8002), 0, "a frame is of the kind 0x8002"),
    ("id", NativeRequests.plain(5, id: 0), 0, "a request has the id 0"),
    ("second hello", NativeRequests.hello(), 0, "HELLO is the first frame"),
    ("no uffd", NativeRequests.attach(descriptors: 0), 0, "ATTACH takes 1 descriptors, and bri"),
    ("two uffds", NativeRequests.attach(descriptors: 2), 2, "ATTACH takes 1 descriptors, and bri"),
    ("lost", NativeRequests.attach(), 0, "a frame says that it brings 1 descriptors, and 0 came"),
    ("surplus", NativeRequests.attach(), 2, "2 descriptors came with a frame that says that it "),
    (
      "early surplus", NativeRequests.header(length: 4096, descriptors: 2), 3,
      "3 descriptors came with a frame that says that it brings 2"
    ),
    ("surplus before a header", [0], 17, "17 descriptors came with a frame that says that it br"),
    ("unwanted", NativeRequests.plain(5), 1, "1 descriptors came with a frame that says that it"),
    (
      "unwanted, and said", NativeRequests.plain(5, descriptors: 1), 1,
      "PROGRESS takes 0 descriptors, and brings 1"
    ),
    (
      "unwanted range", NativeRequests.remove(descriptors: 1), 1,
      "REMOVE_REGION takes 0 descriptors, and brings 1"
    ),
    (
      "uffd again", NativeRequests.attach(kind: 3, descriptors: 1), 1,
      "ADD_REGIONS takes 0 descriptors, and brings 1"
    ),
  ]

  /// In place of the opening.
  static let openings: [Wrong] = [
    ("no magic", Array("UFFDHOSE".utf8), 0, "the connection does not begin with UFFDHOST"),
    ("descriptors too early", Array("UFFD".utf8), 1, "1 descriptors came with a frame that"),
    ("no hello", magic + NativeRequests.plain(8), 0, "the first frame of a connection is HELLO"),
    ("version 0", magic + NativeRequests.hello((0, 1)), 0, "HELLO names the versions 0 to 1"),
    ("backwards", magic + NativeRequests.hello((2, 1)), 0, "HELLO names the versions 2 to 1"),
    (
      "small frames", magic + NativeRequests.hello(mostFrameBytes: 4095), 0,
      "HELLO wants frames of at most 4095 bytes, and there have to be 4096"
    ),
    (
      "newer", magic + NativeRequests.hello((2, 3)), 0,
      "the client speaks the versions 2 to 3 of the protocol and this server 1: use two"
    ),
  ]
  private static let magic = Array("UFFDHOST".utf8)

  @Test("each has its sentence, as soon as it can be known, and takes everything away")
  func sentences() {
    let afterHello = [Self.regions, Self.bodies, Self.frames].flatMap { $0 }
    #expect(afterHello.count == 55 && Self.openings.count == 7)
    for wrong in afterHello { check(wrong, .open()) }
    for wrong in Self.openings { check(wrong, NativeConnection()) }
  }

  private func check(_ wrong: Wrong, _ fresh: NativeConnection) {
    var connection = fresh
    let name = wrong.name
    let outcome = connection.deliver(
      wrong.bytes, (0..<wrong.descriptors).map { _ in nativeDescriptor() })
    #expect(outcome.requests.isEmpty, "\(name)")
    #expect(
      outcome.refusal?.hasPrefix(wrong.reason) == true, "\(name): \(outcome.refusal ?? "taken")")
    #expect(outcome.refusal?.hasSuffix(".") == false, "\(name)")
    #expect(connection.inbox.bytes.isEmpty && connection.inbox.descriptors.isEmpty, "\(name)")
  }

  @Test("descriptors of a refused frame are closed")
  func closed() {
    struct Watched {
      weak var descriptor: Descriptor?
    }
    var connection = NativeConnection.open()
    func refuse(_ bytes: [UInt8]) -> Watched {
      let descriptor = nativeDescriptor()
      #expect(connection.deliver(bytes, [descriptor]).refusal != nil)
      return Watched(descriptor: descriptor)
    }
    #expect(refuse(NativeRequests.attach(flags: 1)).descriptor == nil)
    #expect(refuse(NativeRequests.plain(5)).descriptor == nil)
  }

  @Test("a refusal of the dialect's own answers the frame that it is about")
  func whose() {
    var connection = NativeConnection.open()
    let refusal = connection.deliver(NativeRequests.plain(5, flags: 1, id: 77)).refusal ?? ""
    #expect(
      connection.dialect.encode(.refused(refusal), to: 0)
        == NativeAnswers.refused(refusal, .form, id: 77))
    #expect(
      connection.dialect.encode(.refused("no"), to: 5)
        == NativeAnswers.refused("no", .request, id: 5)
    )
    var newer = NativeConnection()
    _ = newer.deliver(Self.magic + NativeRequests.hello((2, 3), id: 9))
    #expect(
      newer.dialect.encode(.refused("no"), to: 0) == NativeAnswers.refused("no", .version, id: 9))
    #expect(
      Native().encode(.refused("full"), to: 0) == NativeAnswers.refused("full", .request, id: 0))
  }
}

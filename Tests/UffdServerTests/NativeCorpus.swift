// SPDX-License-Identifier: Apache-2.0
// Connections of the native protocol, whole and sound, for whoever cuts and breaks them.
@testable import UffdServer

enum NativeCorpus {
  /// A client's bytes from the magic on, and for each descriptor the byte that it rides on.
  struct Stream: Sendable {
    var bytes: [UInt8] = NativeRequests.opening
    var descriptorsAt: [Int] = []

    func then(_ frame: [UInt8], descriptors: Int = 0) -> Self {
      var longer = self
      longer.descriptorsAt += [Int](repeating: bytes.count, count: descriptors)
      longer.bytes += frame
      return longer
    }
  }

  static let streams: [Stream] = {
    let none = Stream()
    let simple = none.then(NativeRequests.attach(), descriptors: 1)
    let page: UInt64 = 4096
    let shared = NativeRegionFields(
      length: 4 * page, offset: page, flags: 3, modes: 5, backing: 0)
    let copied = NativeRegionFields(
      start: 0x7f00_0010_0000, length: page, offset: 5 * page, modes: 5, backing: 0)
    let huge = NativeRegionFields(
      start: 0x7f80_0000_0000, length: 4 << 20, offset: 2 << 20, pageSize: 2 << 20, flags: 1,
      modes: 5, backing: 1)
    let many = (0..<100).map {
      NativeRegionFields(start: 0x1_0000_0000 + UInt64($0) * 2 * page, length: page)
    }
    let longer = NativeRegionFields(more: [UInt8](repeating: 0, count: 16))
    return [
      none,
      none.then(NativeRequests.plain(8)),
      simple,
      simple.then(NativeRequests.plain(5)).then(NativeRequests.plain(6, id: 5)),
      none.then(NativeRequests.attach([shared, copied, huge], backings: 2), descriptors: 3),
      simple.then(NativeRequests.attach([shared], backings: 1, kind: 3, id: 3), descriptors: 1)
        .then(NativeRequests.remove()).then(NativeRequests.plain(7, id: 9)),
      none.then(NativeRequests.attach(many), descriptors: 1),
      none.then(
        NativeRequests.attach([longer, longer], size: 32, more: [UInt8](repeating: 0, count: 8)),
        descriptors: 1),
    ]
  }()

  static let requests: [[UInt8]] = streams.map(\.bytes)
}

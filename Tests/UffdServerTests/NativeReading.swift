// SPDX-License-Identifier: Apache-2.0
// A second reading of the frames of docs/protocol.md, to hold against what the dialect has made of them.
// Its numbers are the page's, and nothing of the dialect's own reading is used: a mistake that both share
// would not be seen.
import UffdHost

@testable import UffdServer

struct NativeReading {
  /// The whole frame.
  private let bytes: [UInt8]

  var kind: UInt64 { number(4, 2) }
  var descriptors: Int { Int(number(6, 2)) }

  /// The whole frames behind the magic, up to one that has no length.
  static func frames(of stream: [UInt8]) -> [Self] {
    var frames: [Self] = []
    var rest = stream.dropFirst(8)
    while rest.count >= 16 {
      let length = Int(Self(bytes: Array(rest.prefix(16))).number(0, 4))
      guard length >= 16, length <= rest.count else { break }
      frames.append(Self(bytes: Array(rest.prefix(length))))
      rest = rest.dropFirst(length)
    }
    return frames
  }

  /// Where the request says something else than the frame; nil: nowhere.
  func difference(to request: ClientRequest) -> String? {
    let says =
      switch request.action {
      case .attach: 2
      case .addRegions: 3
      case .removeRegion: 4
      case .progress: 5
      case .drain: 6
      case .detach: 7
      case .status: 8
      } as UInt64
    guard says == kind, request.id == number(8, 8) else { return "kind or id" }
    // No request has flags yet.
    guard number(20, 4) == 0 else { return "flags" }
    let size = Int(number(16, 4))
    guard size % 8 == 0, 16 + size <= bytes.count else { return "a struct of \(size) bytes" }
    switch request.action {
    case .attach(_, let regions, let backings, _):
      return difference(to: regions, backings.count, others: 1, behind: 16 + size)
    case .addRegions(let regions, let backings):
      return difference(to: regions, backings.count, others: 0, behind: 16 + size)
    case .removeRegion(let start, let length):
      let isSame = number(24, 8) == start && number(32, 8) == length
      return isSame && isWhole(40, size) ? nil : "range"
    case .progress, .drain, .detach, .status: return isWhole(24, size) ? nil : "more than asked"
    }
  }

  /// Fields up to `known`, then zeroes, then the end of the frame, which brings no descriptor.
  private func isWhole(_ known: Int, _ size: Int) -> Bool {
    known <= 16 + size && bytes.count == 16 + size && isZero(known..<bytes.count)
      && descriptors == 0
  }

  private func difference(
    to regions: [ClientRegion], _ backings: Int, others: Int, behind array: Int
  ) -> String? {
    let (count, stride) = (Int(number(24, 4)), Int(number(28, 4)))
    guard count == regions.count, count > 0 else { return "\(count) regions" }
    guard array >= 40, isZero(36..<array) else { return "fields before the regions" }
    guard stride >= 48, stride % 8 == 0, bytes.count == array + count * stride else {
      return "\(count) regions in steps of \(stride)"
    }
    guard number(32, 4) == backings, descriptors == backings + others else { return "backings" }
    for (index, region) in regions.enumerated() {
      let at = array + index * stride
      let sent =
        [0, 8, 16, 24].map { number(at + $0, 8) } + [32, 36, 40].map { number(at + $0, 4) }
      guard sent == Self.words(of: region) else {
        return "region \(index) was sent as \(sent) and is \(region)"
      }
      guard isZero(at + 44..<at + stride) else { return "a field behind region \(index)" }
    }
    return nil
  }

  /// The region as a client has to send it: there is one way. So whatever the dialect does not keep, as a
  /// flag or a mode that nobody knows, is a difference.
  private static func words(of region: ClientRegion) -> [UInt64] {
    [
      region.start, region.length, region.offset, region.pageSize,
      (region.sharing == .shared ? 1 : 0) + (region.strayPages == .areContent ? 2 : 0),
      region.isMinor ? 5 : 1, region.backing.map { UInt64($0) } ?? 0xffff_ffff,
    ]
  }

  private func number(_ offset: Int, _ width: Int) -> UInt64 {
    (0..<width).reduce(0) { sum, index in
      let place = offset + index
      return sum + (place < bytes.count ? UInt64(bytes[place]) << UInt64(8 * index) : 0)
    }
  }

  private func isZero(_ range: Range<Int>) -> Bool { bytes[range].allSatisfy { $0 == 0 } }
}

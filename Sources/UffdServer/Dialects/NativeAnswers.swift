// SPDX-License-Identifier: Apache-2.0
// The frames that the native protocol's server writes. Pure.
package import UffdHost

package enum NativeAnswers {
  package static func done(session: UInt64, id: UInt64) -> [UInt8] {
    var writer = NativeFrameWriter()
    writer.put(UInt32(16))
    writer.put(UInt32(0))
    writer.put(session)
    return writer.frame(.done, id: id)
  }

  package static func refused(_ reason: String, _ code: NativeWire.Code, id: UInt64) -> [UInt8] {
    text(.refused, code.rawValue, cut(reason)[...], id: id)
  }

  package static func progress(_ progress: ClientProgress, id: UInt64) -> [UInt8] {
    let (faults, installed) = (progress.statistics.faults, progress.statistics.installed)
    func sum(_ bytes: (ClientProgress.Region) -> UInt64) -> UInt64 {
      progress.regions.reduce(0) { $0 + bytes($1) }
    }
    let numbers = [
      progress.bytes, progress.missingBytes, sum(\.residentBytes), sum(\.poisonedBytes),
      sum(\.discardedBytes), UInt64(progress.regions.count),
      faults.missing, faults.minor, faults.wp,
      installed.copied, installed.zeroed, installed.continued, installed.poisoned,
      progress.statistics.parkedNow, progress.statistics.givenUp,
    ]
    var writer = NativeFrameWriter()
    writer.put(UInt32(8 + 8 * numbers.count))
    writer.put(phase(progress.phase))
    for number in numbers { writer.put(number) }
    return writer.frame(.progress, id: id)
  }

  /// In as many frames as it takes; the client puts the pieces together, wherever they were cut.
  package static func status(_ json: String, mostFrameBytes: Int, id: UInt64) -> [UInt8] {
    let mostBytes = mostFrameBytes - NativeWire.headerBytes - 16
    var (rest, frames) = (Array(json.utf8)[...], [] as [UInt8])
    repeat {
      let piece = rest.prefix(mostBytes)
      rest = rest.dropFirst(mostBytes)
      frames += text(.status, rest.isEmpty ? 0 : 1, piece, id: id)
    } while !rest.isEmpty
    return frames
  }

  private static func text(
    _ answer: NativeWire.Answer, _ code: UInt32, _ bytes: ArraySlice<UInt8>, id: UInt64
  ) -> [UInt8] {
    var writer = NativeFrameWriter()
    writer.put(UInt32(16))
    writer.put(code)
    writer.put(UInt32(bytes.count))
    writer.put(UInt32(0))
    writer.put(bytes)
    return writer.frame(answer, id: id)
  }

  /// A sentence is short; one that is not loses its end, at a character.
  private static func cut(_ reason: String) -> [UInt8] {
    let bytes = Array(reason.utf8)
    guard bytes.count > NativeWire.mostReasonBytes else { return bytes }
    var end = NativeWire.mostReasonBytes
    while bytes[end] & 0xC0 == 0x80 { end -= 1 }
    return Array(bytes[..<end])
  }

  private static func phase(_ phase: ClientProgress.Phase) -> UInt32 {
    switch phase {
    case .serving: 1
    case .draining: 2
    case .drained: 3
    case .detached: 4
    case .gone: 5
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// The frames that docs/protocol.md shows, as the codec writes them and as the tests' client does.
import UffdHost

@testable import UffdServer

enum NativeRecords {
  static let object = ServedObject(size: 0x4000_0800, pageSize: 4096)

  static let all: [(name: String, bytes: [UInt8])] = [
    ("The beginning of a client", NativeRequests.opening),
    ("The beginning of the server", NativeHello.greeting(object)),
    ("ATTACH of two regions, one of them with a backing", attach),
    ("ADD_REGIONS", NativeRequests.attach([anonymous], kind: 3, id: 3)),
    ("REMOVE_REGION of the first", NativeRequests.remove(id: 4)),
    ("PROGRESS", NativeRequests.plain(5, id: 5)),
    ("DRAIN", NativeRequests.plain(6, id: 6)),
    ("DETACH", NativeRequests.plain(7, id: 7)),
    ("STATUS", NativeRequests.plain(8, id: 8)),
    ("DONE of session 42", NativeAnswers.done(session: 42, id: 2)),
    ("REFUSED", NativeAnswers.refused("region 1 of ATTACH is empty", .form, id: 2)),
    ("The answer to PROGRESS", NativeAnswers.progress(progress, id: 5)),
    (
      "The answer to STATUS",
      NativeAnswers.status(#"{"clients": []}"#, mostFrameBytes: 65536, id: 8)
    ),
  ]

  private static let anonymous = NativeRegionFields(
    start: 0x7f00_0001_0000, length: 0x4000, offset: 0x10000)

  private static let attach = NativeRequests.attach(
    [
      NativeRegionFields(),
      NativeRegionFields(
        start: 0x7f00_4000_0000, length: 0x20_0000, offset: 0x40_0000, pageSize: 0x20_0000,
        flags: 1, modes: 5, backing: 0),
    ], backings: 1)

  /// Every number is another one.
  static let progress: ClientProgress = {
    var progress = ClientProgress()
    progress.phase = .draining
    for start in [0x1000, 0x9000] as [UInt64] {
      progress.regions.append(
        ClientProgress.Region(
          start: start, length: 0x6000, offset: 0, pageSize: 4096, residentBytes: 0x1000,
          poisonedBytes: 0x1800, discardedBytes: 0x2000))
    }
    progress.statistics.faults.missing = 11
    progress.statistics.faults.minor = 12
    progress.statistics.faults.wp = 13
    progress.statistics.installed.copied = 14
    progress.statistics.installed.zeroed = 15
    progress.statistics.installed.continued = 16
    progress.statistics.installed.poisoned = 17
    progress.statistics.parkedNow = 18
    progress.statistics.givenUp = 19
    return progress
  }()

  /// As the page shows bytes.
  static func dump(_ bytes: [UInt8]) -> String {
    stride(from: 0, to: bytes.count, by: 16).map { start in
      let row = bytes[start..<min(start + 16, bytes.count)].map { byte in
        (byte < 16 ? "0" : "") + String(byte, radix: 16)
      }
      return "    " + row.joined(separator: " ")
    }.joined(separator: "\n")
  }
}

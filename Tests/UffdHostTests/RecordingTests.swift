// SPDX-License-Identifier: Apache-2.0
// What a recording notes: each first touch once, in the order in which
// it came, and nothing that was no touch.

import FaultInjection
import Glibc
import Testing

@testable import UffdHost

@Suite(
  "Recording",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct RecordingTests {
  @Test(
    "the granules that were touched, in that order, whatever the way their content came",
    arguments: MemoryKind.allCases, TestTable.allCases.filter { $0 != .declarativeOnly })
  func order(_ kind: MemoryKind, _ table: TestTable) async throws {
    if kind == .hugetlb { try Machine.needHugePages() }
    await #expect(processExitsWith: .success) { [kind, table] in
      let scene = try Scene(table)
      let granule: UInt64 = kind == .hugetlb ? 2 << 20 : 4096
      let instance = try scene.open(kind, granules: 12, granule: granule)
      let recording = try Recording(instance)
      let region = try instance.map(
        .with {
          $0.firstGranule = 2
          $0.granules = 9
          $0.recording = recording
        })
      #expect(recording.touches == [])
      let places: [UInt64] = [5, 6, 7, 0, 8, 3]
      for place in places { _ = region.load(place) }
      // Again, and to write: no first touch.
      for place in places { region.store(place, 1) }
      let touches = recording.touches
      // Fault-around would have taken 6 and 7 along.
      #expect(touches.map(\.granule) == places.map { $0 + 2 })
      #expect(zip(touches, touches.dropFirst()).allSatisfy { $0.nanoseconds < $1.nanoseconds })
      #expect(touches.last!.nanoseconds <= recording.elapsedNanoseconds)
    }
  }

  @Test("several regions and several readers: the union, each granule once", arguments: [1, 3])
  func union(_ readers: Int) async {
    await #expect(processExitsWith: .success) { [readers] in
      let scene = try Scene(.parallel, .with { $0.readers = readers })
      let instance = try scene.open(.shmem, granules: 1000)
      let recording = try Recording(instance)
      let regions = try (0..<3).map { _ in
        try instance.map(.with { $0.recording = recording })
      }
      let silent = try instance.map()
      for index in stride(from: 0, to: 1000, by: 7) as StrideTo<UInt64> {
        _ = regions[Int(index) % 3].load(index)
        _ = regions[Int(index + 1) % 3].load(index)
        _ = silent.load((index + 1) % 1000)
      }
      #expect(recording.touches.map(\.granule) == Array(stride(from: 0, to: 1000, by: 7)))
      let threads = try (0..<3).map { thread in
        let region = regions[thread]
        return try inBackground {
          if unsafe client_verify(region.start, 0, region.length, 1, 4096, 4) != 0 { abort() }
        }
      }
      for thread in threads { thread.join() }
      #expect(recording.touches.map(\.granule).sorted() == Array(0..<1000))
    }
  }

  @Test("what was filled before it was touched, and what was given back, is no touch")
  func untouched() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.open(.anon, granules: 20)
      let recording = try Recording(instance)
      let region = try instance.map(.with { $0.recording = recording })
      try region.prefetch([0..<5]).wait()
      #expect(region.advise(10, 2, MADV_DONTNEED) == 0)
      // The next fault comes after the discard is read.
      _ = region.load(15)
      for index in 0..<20 as Range<UInt64> where index < 15 { _ = region.load(index) }
      #expect(
        recording.touches.map(\.granule) == [15] + Array(5..<10) + Array(12..<15))
      try region.drain()
      #expect(recording.touches.count == 9)
    }
  }

  @Test("a recording of another instance is refused")
  func foreign() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let recording = try Recording(try scene.open(.anon, granules: 20))
      let other = try scene.open(.anon, granules: 20)
      let error = #expect(throws: HostError.self) {
        try other.map(.with { $0.recording = recording })
      }
      #expect(error?.kind == .usage)
      #expect(error?.message.contains("belongs to one instance") == true)
      try other.close()
    }
  }
}

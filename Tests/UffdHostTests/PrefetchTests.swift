// SPDX-License-Identifier: Apache-2.0
// Filling listed granules before they are touched: all of them and no
// other, faults first, and never any harm.

import FaultInjection
import Glibc
import Testing
import UffdPluginABI

@testable import UffdHost

@Suite(
  "Prefetch",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct PrefetchTests {
  /// Runs, single granules, overlaps, out of order, and beyond the end of 1000 granules.
  static let list: [Range<UInt64>] = [
    500..<800, 3..<4, 0..<1, 10..<20, 15..<30, 7..<7, 995..<2000, 5000..<6000,
  ]
  static let listed: UInt64 = 300 + 2 + 20 + 5

  @Test(
    "listed granules are there and raise no fault; the others are not",
    arguments: ["anon", "shmem s", "shmem b", "shmem m"],
    TestTable.allCases.filter { $0 != .declarativeOnly })
  func listed(_ what: String, _ table: TestTable) async {
    await #expect(processExitsWith: .success) { [what, table] in
      let scene = try Scene(table)
      let words = what.split(separator: " ").map(String.init)
      let instance = try scene.open(MemoryKind(rawValue: words[0])!, granules: 1000)
      let region = try instance.map(
        .with {
          $0.sharing = words.last == "s" ? .shared : .private
          $0.fill = words.last == "m" ? .mapping : .backing
        })
      try Self.check(scene, instance, region)
    }
  }

  private static func check(_ scene: Scene, _ instance: Instance, _ region: Region) throws {
    let prefetch = try region.prefetch(list)
    prefetch.wait()
    prefetch.wait()
    let progress = prefetch.progress
    #expect(progress.isFinished && progress.total == listed && progress.filled == listed)
    #expect(progress.present == 0 && progress.left == 0 && progress.done == listed)
    #expect(region.residentBytes == listed * 4096)
    let before = try instance.settledStatistics()
    #expect(before.faults.total == 0 && before.installedAround == 0, "\(before)")
    for range in list {
      for index in range.clamped(to: 0..<1000) { #expect(region.holdsContent(index)) }
    }
    #expect(try instance.settledStatistics().faults.total == 0)
    // Once more: nothing is left to do.
    let again = try region.prefetch(list)
    again.wait()
    #expect(again.progress.present == listed && again.progress.filled == 0)
    #expect(region.difference() == -1)
    #expect(scene.state[\.warms] >= listed && scene.state[\.bad_warms] == 0)
    #expect(scene.state[\.bad_adds] == 0 && scene.state[\.lends] == scene.state[\.puts])
    region.detach()
    let error = #expect(throws: HostError.self) { try region.prefetch(list) }
    #expect(error?.kind == .usage)
    try instance.close()
  }

  @Test(
    "with lent memory, on several readers, in huge pages, of a declared file",
    arguments: ["lent", "may-fault", "arena", "zero", "readers", "huge", "hole"])
  func ways(_ way: String) async throws {
    if way == "huge" { try Machine.needHugePages() }
    await #expect(processExitsWith: .success) { [way] in
      let scene = try Scene(.parallel, .with { $0.readers = way == "readers" ? 3 : 1 })
      scene.state[\.answer] = ["lent": 1, "may-fault": 2, "zero": 3, "arena": 4][way] ?? 0
      if way == "hole" { scene.state[\.holes] = 3 }
      let isHuge = way == "huge"
      let instance = try scene.open(
        isHuge ? .hugetlb : .anon, granules: isHuge ? 6 : 1000, granule: isHuge ? 2 << 20 : 4096,
        ("lend", "1"))
      let region = try instance.map()
      let ranges: [Range<UInt64>] = isHuge ? [1..<3, 5..<6] : Self.list
      let prefetch = try region.prefetch(ranges)
      prefetch.wait()
      let total: UInt64 = isHuge ? 3 : Self.listed
      #expect(prefetch.progress.filled == total && prefetch.progress.total == total)
      #expect(region.residentBytes == total * instance.granule)
      for range in ranges {
        for index in range.clamped(to: 0..<instance.granuleCount) {
          let isZero = way == "zero" || way == "hole" && index % 3 == 2
          #expect(isZero ? region.isZero(index) : region.holdsContent(index), "\(index)")
        }
      }
      #expect(try instance.settledStatistics().faults.total == 0)
      #expect(scene.state[\.lends] == scene.state[\.puts] && scene.state[\.bad_puts] == 0)
    }
  }

  @Test("what the backing holds already is mapped")
  func published() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.open(.shmem, granules: 1000)
      try instance.publish(firstGranule: 0, count: nil, stride: 2)
      let answered = scene.state[\.answered]
      let region = try instance.map()
      try region.prefetch([0..<1000]).wait()
      // And one to see whether it lends.
      #expect(scene.state[\.answered] == answered + 501)
      #expect(region.difference() == -1)
      #expect(try instance.settledStatistics().faults.total == 0)
    }
  }

  @Test(
    "under demand load every byte is right", arguments: [1, 3], [TestTable.parallel, .blocking])
  func underLoad(_ readers: Int, _ table: TestTable) async {
    await #expect(processExitsWith: .success) { [readers, table] in
      let scene = try Scene(table, .with { $0.readers = readers })
      for kind in [MemoryKind.anon, .shmem] {
        let instance = try scene.open(kind, granules: 4000)
        let region = try instance.map()
        let client = try inBackground {
          let wrong = unsafe client_verify(region.start, 0, region.length, 1, 4096, 8)
          if wrong != 0 { abort() }
        }
        let prefetch = try region.prefetch([0..<1000, 1500..<4000])
        client.join()
        prefetch.wait()
        #expect(prefetch.progress.done == 3500)
        #expect(region.residentBytes == 4000 * 4096)
        #expect(region.difference() == -1)
        region.detach()
        try instance.close()
        #expect(scene.state[\.bad_adds] == 0 && scene.state[\.bad_removes] == 0)
      }
    }
  }

  @Test(
    "a fault is served before a prefetch that takes long", arguments: [TestTable.blocking, .serial])
  func demandFirst(_ table: TestTable) async {
    await #expect(processExitsWith: .success) { [table] in
      let scene = try Scene(table)
      let instance = try scene.open(.anon, granules: 100_000)
      let region = try instance.map()
      scene.state[\.delay_us] = 5_000
      scene.state[\.most] = 1
      // 45 seconds of work for one worker.
      let prefetch = try region.prefetch((0..<9000).map { $0 * 10..<($0 * 10 + 1) })
      #expect(scene.state.wait(for: \.allocs, atLeast: 3))
      var longest: UInt64 = 0
      for index in 0..<10 as Range<UInt64> {
        let before = monotonicNanoseconds()
        #expect(region.holdsContent(95_000 + index * 100))
        longest = max(longest, monotonicNanoseconds() - before)
      }
      #expect(!prefetch.progress.isFinished)
      // One hook that runs already, and its own; and whatever else this machine does.
      #expect(longest < 10_000_000_000, "\(longest) ns")
      region.detach()
      #expect(eventually { prefetch.progress.isFinished })
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// One backing, several regions: what a write is seen by, and that content is fetched once.

import FaultInjection
import Glibc
import Testing

@testable import UffdHost

@Suite(
  "Sharing",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct SharingTests {
  /// How the regions of one instance map it: s shared, b private over the backing, m private and filled
  /// alone.
  static let plans = [
    "s", "b", "m", "ss", "sb", "sm", "bb", "bm", "mm", "ssb", "sbm", "mbs", "bbb",
  ]

  @Test(
    "shared writes are seen by siblings, private ones are not, content is fetched once",
    arguments: plans.flatMap { plan in
      // Huge pages are few.
      plan.count > 2 ? [(plan, MemoryKind.shmem)] : [(plan, .shmem), (plan, .hugetlb)]
    })
  func regions(_ plan: String, _ kind: MemoryKind) async throws {
    if kind == .hugetlb { try Machine.needHugePages() }
    await #expect(processExitsWith: .success) { [plan, kind] in
      let scene = try Scene()
      let granule: UInt64 = kind == .hugetlb ? 2 << 20 : 4096
      let count: UInt64 = kind == .hugetlb ? 3 : 60
      let instance = try scene.open(kind, granules: count, granule: granule)
      let regions = try plan.map { letter in
        try instance.map(
          .with {
            $0.sharing = letter == "s" ? .shared : .private
            $0.fill = letter == "m" ? .mapping : .backing
          })
      }
      for region in regions { #expect(region.difference() == -1) }
      let statistics = try instance.settledStatistics()
      let size = count * granule
      // The backing is filled once for all that show it; a mapping that is filled alone has its own copy.
      let alone = UInt64(plan.count { $0 == "m" })
      let fromBacking = alone < UInt64(plan.count)
      #expect(statistics.providedBytes == (alone + (fromBacking ? 1 : 0)) * size)
      #expect(scene.state[\.adds] == (fromBacking ? count : 0))
      #expect(scene.state[\.bad_adds] == 0 && scene.state[\.removes] == 0)

      // Each region writes its number into a granule of its own.
      for (index, region) in regions.enumerated() {
        region.store(UInt64(index % 3), UInt64(1000 + index))
      }
      for (writer, letter) in plan.enumerated() {
        let place = UInt64(writer % 3)
        let content = contentWord(place, granule: granule)
        for (reader, other) in plan.enumerated() {
          let seen = regions[reader].load(place)
          if reader == writer {
            #expect(seen == UInt64(1000 + writer))
          } else if letter == "s" && other == "s" {
            #expect(seen == UInt64(1000 + writer), "a sibling does not see a shared write")
          } else if letter != "s" {
            #expect(seen == content, "a private write is seen by a sibling")
          } else if other == "m" {
            #expect(seen == content, "a mapping filled alone sees a shared write")
          }
        }
      }
      // A region that is made later finds the shared writes and none of the private ones.
      let late = try instance.map()
      for (writer, letter) in plan.enumerated() {
        let place = UInt64(writer % 3)
        let wanted =
          letter == "s" ? UInt64(1000 + writer) : contentWord(place, granule: granule)
        #expect(late.load(place) == wanted)
      }
    }
  }

  @Test(
    "regions race for the same missing pages: each is fetched and accounted once",
    arguments: [1, 4])
  func race(_ readers: Int) async {
    await #expect(processExitsWith: .success) { [readers] in
      let scene = try Scene(.blocking, .with { $0.readers = readers })
      let instance = try scene.open(.shmem, granules: 500)
      let regions = try (0..<3).map { index in
        try instance.map(.with { $0.sharing = index == 2 ? .private : .shared })
      }
      try onThreads(3) { index in
        let region = regions[index]
        let wrong = unsafe client_verify(region.start, 0, region.length, 1, 4096, 3)
        if wrong != 0 { abort() }
      }
      #expect(scene.host.statistics.providedBytes == 500 * 4096)
      #expect(scene.state[\.adds] - scene.state[\.removes] == 500)
      #expect(scene.state[\.bad_adds] == 0 && scene.state[\.bad_removes] == 0)
      #expect(scene.host.statistics.givenUp == 0)
    }
  }
}

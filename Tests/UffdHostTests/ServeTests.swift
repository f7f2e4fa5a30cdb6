// SPDX-License-Identifier: Apache-2.0
// Faults on the real kernel: every way in which content reaches a page, and that every byte is right.

import FaultInjection
import Glibc
import Testing

@testable import UffdHost

@Suite(
  "Serving",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct ServeTests {
  @Test(
    "8 threads read every byte right, whatever the provider's way to answer",
    arguments: ["staged", "lent", "may-fault", "arena", "holes"], [1, 3])
  func answers(_ way: String, _ readers: Int) async {
    await #expect(processExitsWith: .success) { [way, readers] in
      let scene = try Scene(.parallel, .with { $0.readers = readers })
      scene.state[\.answer] =
        ["lent": 1, "may-fault": 2, "arena": 4][way].map(UInt64.init) ?? 0
      if way == "holes" { scene.state[\.holes] = 4 }
      for kind in [MemoryKind.anon, .shmem] {
        let instance = try scene.open(kind, granules: 1021, ("lend", "1"))
        let region = try instance.map()
        if way == "holes" {
          for index in 0..<1021 as Range<UInt64> {
            #expect(index % 4 == 3 ? region.isZero(index) : region.holdsContent(index))
          }
        } else {
          let wrong = unsafe client_verify(region.start, 0, region.length, 1, 4096, 8)
          #expect(wrong == 0, "\(kind)")
        }
        region.detach()
        try instance.close()
      }
      #expect(scene.state[\.lends] == scene.state[\.puts])
      #expect(scene.state[\.bad_puts] == 0)
      #expect(scene.state[\.bad_adds] == 0)
      #expect(scene.host.statistics.providerViolations == 0)
      #expect(scene.host.statistics.givenUp == 0)
    }
  }

  @Test(
    "tables of every thread model, blocking or not",
    arguments: TestTable.allCases.filter { $0 != .declarativeOnly })
  func models(_ table: TestTable) async {
    await #expect(processExitsWith: .success) { [table] in
      let scene = try Scene(table)
      for kind in [MemoryKind.anon, .shmem] {
        let instance = try scene.open(kind, granules: 300)
        let region = try instance.map()
        #expect(unsafe client_verify(region.start, 0, region.length, 1, 4096, 8) == 0)
        region.detach()
        try instance.close()
      }
      if table == .serial { #expect(scene.state[\.other_threads] == 0) }
      if table == .serial || table == .perInstance { #expect(scene.state[\.most_running] == 1) }
      #expect(scene.state[\.closes] == 2)
    }
  }

  @Test(
    "a granule is served whole by one fault",
    arguments: zip(
      MemoryKind.allCases, [4096, 4096, 2 << 20] as [UInt64]))
  func granules(_ kind: MemoryKind, _ granule: UInt64) async throws {
    if kind == .hugetlb { try Machine.needHugePages() }
    await #expect(processExitsWith: .success) { [kind, granule] in
      let scene = try Scene()
      let instance = try scene.open(kind, granules: 4, granule: granule)
      let region = try instance.map()
      #expect(region.granule == granule && region.length == 4 * granule)
      #expect(unsafe UInt64(UInt(bitPattern: region.start)) % granule == 0)
      // In the middle of the third granule.
      let byte = unsafe region.address(of: 2) + Int(granule / 2)
      #expect(unsafe byte.load(as: UInt64.self) == test_content_word(1, 2 * granule + granule / 2))
      #expect(region.holdsContent(2))
      let after = try instance.settledStatistics()
      #expect(after.faults.total == 1 && after.installed.copied == granule, "\(after)")
      #expect(region.residentBytes == granule)
      #expect(region.difference() == -1)
      let end = try instance.settledStatistics()
      #expect(end.faults.total == 4 && end.installed.copied == 4 * granule, "\(end)")
      #expect(scene.state[\.answered] == 4)
    }
  }

  @Test(
    "a granule larger than a page of the memory is refused: a client may discard single pages",
    arguments: [MemoryKind.anon, .shmem])
  func largeGranule(_ kind: MemoryKind) async {
    await #expect(processExitsWith: .success) { [kind] in
      let scene = try Scene()
      let refusal = #expect(throws: HostError.self) {
        try scene.open(kind, granules: 2, granule: 2 << 20)
      }
      #expect(refusal?.kind == .refused)
      #expect(refusal?.message.contains("in granules of 4096 bytes, not 2097152") == true)
    }
  }

  @Test("zero answers are zero pages, and no content crosses", arguments: MemoryKind.allCases)
  func zeroes(_ kind: MemoryKind) async throws {
    if kind == .hugetlb { try Machine.needHugePages() }
    await #expect(processExitsWith: .success) { [kind] in
      let scene = try Scene()
      scene.state[\.answer] = UInt64(TEST_ANSWER_ZERO.rawValue)
      let granule: UInt64 = kind == .hugetlb ? 2 << 20 : 4096
      let instance = try scene.open(kind, granules: 6, granule: granule)
      let region = try instance.map()
      for index in 0..<6 as Range<UInt64> { #expect(region.isZero(index)) }
      region.store(3, 77)
      #expect(region.load(3) == 77)
      let statistics = try instance.settledStatistics()
      #expect(statistics.installed.zeroed == 6 * granule)
      #expect(statistics.installed.copied == 0 && statistics.publishedBytes == 0)
    }
  }

  @Test(
    "what was published is mapped by minor faults alone", arguments: [Sharing.shared, .private])
  func minor(_ sharing: Sharing) async {
    await #expect(processExitsWith: .success) { [sharing] in
      let scene = try Scene()
      let instance = try scene.open(.shmem, granules: 100)
      try instance.publish()
      let published = scene.host.statistics
      #expect(published.publishedBytes == 100 * 4096)
      #expect(published.installed.copied == 0)
      let region = try instance.map(.with { $0.sharing = sharing })
      #expect(region.difference() == -1)
      let statistics = try instance.settledStatistics()
      #expect(statistics.faults.missing == 0)
      #expect(statistics.faults.minor > 0)
      #expect(statistics.installed.continued == 100 * 4096)
      #expect(statistics.providedBytes == 100 * 4096)
      #expect(scene.state[\.lookups] >= 100)
      // Publishing again asks nobody.
      let answered = scene.state[\.answered]
      try instance.publish()
      #expect(scene.state[\.answered] == answered)
    }
  }

  @Test("published in part; the rest is missing", arguments: [1, 3])
  func stride(_ readers: Int) async {
    await #expect(processExitsWith: .success) { [readers] in
      let scene = try Scene(.parallel, .with { $0.readers = readers })
      let instance = try scene.open(.shmem, granules: 101)
      try instance.publish(firstGranule: 0, count: nil, stride: 2)
      #expect(scene.host.statistics.publishedBytes == 51 * 4096)
      try instance.publish(firstGranule: 90, count: 4)
      #expect(scene.host.statistics.publishedBytes == 53 * 4096)
      let region = try instance.map()
      #expect(unsafe client_verify(region.start, 0, region.length, 1, 4096, 4) == 0)
      #expect(scene.host.statistics.providedBytes == 101 * 4096)
      #expect(scene.state[\.adds] == 101 && scene.state[\.bad_adds] == 0)
    }
  }

  @Test("a window shows its part of the object", arguments: [MemoryKind.anon, .shmem])
  func windows(_ kind: MemoryKind) async {
    await #expect(processExitsWith: .success) { [kind] in
      let scene = try Scene()
      let instance = try scene.open(kind, granules: 64, ("seed", "9"))
      let region = try instance.map(
        .with {
          $0.firstGranule = 10
          $0.granules = 20
        })
      #expect(region.length == 20 * 4096)
      #expect(region.difference(firstGranule: 10, seed: 9) == -1)
      for (first, count) in [(64, nil), (0, 0), (0, 65), (63, 2), (.max, 1), (1, .max)]
        as [(UInt64, UInt64?)]
      {
        let error = #expect(throws: HostError.self) {
          try instance.map(
            .with {
              $0.firstGranule = first
              $0.granules = count
            })
        }
        #expect(error?.kind == .usage)
        #expect(error?.message.contains("are outside the object of 64 granules") == true)
      }
      #expect(try instance.map(.with { $0.firstGranule = 63 }).load(0) == contentWord(63, seed: 9))
    }
  }

  @Test("a page that is written first keeps the rest of its content", arguments: [1, 2])
  func writes(_ readers: Int) async {
    await #expect(processExitsWith: .success) { [readers] in
      let scene = try Scene(.parallel, .with { $0.readers = readers })
      for kind in [MemoryKind.anon, .shmem] {
        let region = try scene.open(kind, granules: 50).map()
        for index in 0..<50 as Range<UInt64> { region.store(index, index) }
        for index in 0..<50 as Range<UInt64> {
          #expect(region.load(index) == index)
          let rest = unsafe region.address(of: index) + 8
          #expect(unsafe client_first_difference(rest, index * 4096 + 8, 4088, 1) == -1)
        }
      }
    }
  }
}

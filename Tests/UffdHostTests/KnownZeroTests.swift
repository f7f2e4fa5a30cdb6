// SPDX-License-Identifier: Apache-2.0
// What a provider calls zero is zero, in whatever memory, and the provider is never asked for it.

import FaultInjection
import Glibc
import Testing

@testable import UffdHost

@Suite(
  "Known zeroes",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct KnownZeroTests {
  /// An instance whose granules from 100 up to 1900 of 2000 are zero, once it has said so.
  private static func open(
    _ scene: Scene, _ kind: MemoryKind, granules: UInt64 = 2000, _ more: (String, String)...
  ) throws -> Instance {
    let granule: UInt64 = kind == .hugetlb ? 2 << 20 : 4096
    scene.state[\.zero_from] = kind == .hugetlb ? 2 : 100
    scene.state[\.zero_to] = kind == .hugetlb ? 5 : 1900
    let instance = try scene.host.open(
      scene.provider,
      parameters: [
        Parameter("memory", kind.rawValue), Parameter("granule", "\(granule)"),
        Parameter("size", "\(granules * granule)"),
      ] + more.map { Parameter($0, $1) })
    let bits = unsafe instance.record.pointee.zeroes!
    let last = scene.state[\.zero_to] - 1
    #expect(eventually { bits.contains(last) })
    return instance
  }

  @Test(
    "zero in every kind of memory, and alloc_folio is never called for it",
    arguments: [TestTable.extents, .extentsBlocking, .extentsSerial],
    ["anon", "shmem s", "shmem b", "shmem m", "hugetlb s", "hugetlb b"])
  func zeroes(_ table: TestTable, _ what: String) async throws {
    if what.hasPrefix("hugetlb") { try Machine.needHugePages() }
    await #expect(processExitsWith: .success) { [table, what] in
      for around in [FaultAround.adaptive, .off] {
        let scene = try Scene(table, .with { $0.faultAround = around })
        let words = what.split(separator: " ").map(String.init)
        let kind = MemoryKind(rawValue: words[0])!
        let granules: UInt64 = kind == .hugetlb ? 6 : 2000
        let instance = try Self.open(scene, kind, granules: granules)
        let zeroes = scene.state[\.zero_from]..<scene.state[\.zero_to]
        let answered = scene.state[\.answered]
        let before = scene.host.statistics
        let region = try instance.map(
          .with {
            $0.sharing = words.last == "s" ? .shared : .private
            $0.fill = words.last == "m" ? .mapping : .backing
          })
        for index in 0..<granules {
          #expect(
            zeroes.contains(index) ? region.isZero(index) : region.holdsContent(index),
            "granule \(index)")
        }
        let after = try instance.settledStatistics()
        #expect(scene.state[\.zero_allocs] == 0)
        #expect(scene.state[\.answered] - answered == granules - UInt64(zeroes.count))
        #expect(
          after.knownZeroBytes - before.knownZeroBytes
            == UInt64(zeroes.count) * instance.granule, "\(after)")
        if kind == .anon, around != .off {
          #expect(after.faults.missing - before.faults.missing < 40, "\(after)")
        }
        // Written to and given back, it is memory like any other.
        region.store(3, 7)
        #expect(region.load(3) == 7)
        #expect(region.advise(3, 1, MADV_DONTNEED) == 0)
        #expect(region.load(3) == (words.last == "s" ? 7 : 0))
        if instance.hasBacking, words.last != "m" {
          #expect(scene.state[\.adds] > 0)
          #expect(try instance.map().isZero(zeroes.lowerBound))
        }
        #expect(scene.state[\.bad_adds] == 0 && scene.state[\.bad_removes] == 0)
        if table == .extentsSerial { #expect(scene.state[\.other_threads] == 0) }
        region.detach()
        try instance.close()
      }
    }
  }

  @Test(
    "published and drained without being asked for",
    arguments: [TestTable.extents, .extentsBlocking])
  func filled(_ table: TestTable) async {
    await #expect(processExitsWith: .success) { [table] in
      let scene = try Scene(table)
      let shared = try Self.open(scene, .shmem)
      try shared.publish()
      #expect(scene.state[\.zero_allocs] == 0 && scene.state[\.adds] == 2000)
      let region = try shared.map()
      #expect(region.isZero(1000) && region.holdsContent(1950))
      let anon = try Self.open(scene, .anon)
      let alone = try anon.map()
      try alone.drain()
      #expect(scene.state[\.zero_allocs] == 0)
      #expect(alone.isZero(100) && alone.isZero(1899))
      #expect(alone.holdsContent(99) && alone.holdsContent(1900))
    }
  }

  @Test("what is lent is made resident without what is zero")
  func warmed() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.extents)
      scene.state[\.answer] = UInt64(TEST_ANSWER_LENT_MAY_FAULT.rawValue)
      let instance = try Self.open(scene, .anon, ("lend", "1"))
      let region = try instance.map()
      #expect(region.holdsContent(1999) && region.holdsContent(0) && region.isZero(500))
      _ = try instance.settledStatistics()
      #expect(scene.state[\.zero_allocs] == 0)
      #expect(scene.state[\.lends] == scene.state[\.puts])
    }
  }

  @Test(
    "neither announced nor asked for by a fill, whatever is made ready ahead of it",
    arguments: [TestTable.extents, .extentsBlocking, .extentsSerial], [false, true])
  func prepared(_ table: TestTable, _ lends: Bool) async {
    await #expect(processExitsWith: .success) { [table, lends] in
      let scene = try Scene(table)
      if lends { scene.state[\.answer] = UInt64(TEST_ANSWER_LENT_MAY_FAULT.rawValue) }
      let instance = try Self.open(scene, .anon, ("lend", "1"))
      for _ in 0..<2 {
        let warmed = scene.state[\.warms]
        let region = try instance.map()
        let fill = try region.fillInBackground()
        fill.wait()
        #expect(fill.progress.filled == 2000, "\(fill.progress)")
        #expect(scene.state[\.warms] - warmed == 200 && scene.state[\.bad_warms] == 0)
        #expect(scene.state[\.zero_allocs] == 0)
        #expect(region.isZero(100) && region.isZero(1899))
        #expect(region.holdsContent(99) && region.holdsContent(1900))
        // As a list has it: pieces with zeroes between them, and one of zeroes alone.
        let listed = try instance.map()
        try listed.prefetch([10..<20, 98..<102, 500..<600, 1898..<1903]).wait()
        #expect(scene.state[\.warms] - warmed == 200 + 10 + 2 + 3)
        #expect(scene.state[\.zero_allocs] == 0)
      }
    }
  }

  @Test("said in many small pieces, and not yet said: then the provider is asked")
  func unsaid() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.extentsBlocking)
      scene.state[\.extent_most] = 3
      let pieces = try Self.open(scene, .anon)
      #expect(scene.state[\.extent_calls] >= 2)
      #expect(try pieces.map().isZero(1899))
      #expect(scene.state[\.zero_allocs] == 0)
      // A hook that hangs holds up nobody who opens, faults or closes.
      scene.state[\.extent_gate] = 1
      let instance = try scene.open(.anon, granules: 2000)
      let region = try instance.map()
      #expect(region.isZero(500) && region.holdsContent(1950))
      #expect(scene.state[\.zero_allocs] > 0)
      region.detach()
      scene.state[\.extent_gate] = 0
      try instance.close()
    }
  }

  @Test("a provider whose content changes is believed in nothing")
  func volatile() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.extentsVolatile)
      let instance = try scene.open(.anon, granules: 16)
      #expect(try instance.map().holdsContent(3))
      #expect(scene.state[\.extent_calls] == 0)
    }
  }

  @Test("a list that breaks the contract: the regions fail closed; an error: the provider is asked")
  func broken() async throws {
    try Machine.needPoison()
    await #expect(processExitsWith: .success) {
      GuardedAccess.install()
      for (bad, text) in [
        (1, "extents answered OK with a list"), (2, "extents answered OK with a list"),
        (3, "extents answered OK with a list"), (4, "a status that ABI 1 does not have"), (5, nil),
      ] as [(UInt64, String?)] {
        let scene = try Scene(.extents)
        scene.state[\.extent_bad] = bad
        scene.state[\.zero_from] = 4
        scene.state[\.zero_to] = 8
        let instance = try scene.open(.anon, granules: 16)
        let region = try instance.map()
        if let text {
          #expect(instance.contractViolation?.contains(text) == true, "\(bad)")
          #expect(region.signal(1) == SIGBUS && region.signal(5) == SIGBUS)
        } else {
          #expect(region.holdsContent(1) && region.isZero(5))
          #expect(scene.state[\.zero_allocs] == 1)
        }
      }
    }
  }

  @Test("the holes of a declared file are found without reading them")
  func declared() async {
    await #expect(processExitsWith: .success) {
      let path = "/tmp/uffdhost-test-zero-\(getpid())"
      let fd = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_EXCL, 0o600)
      defer { unsafe unlink(path) }
      #expect(ftruncate(fd, 1000 * 4096 + 17) == 0)
      for index in [0, 400, 401, 999] {
        var word = UInt64(index) | 7 << 32
        #expect(unsafe pwrite(fd, &word, 8, index * 4096) == 8)
      }
      close(fd)
      let scene = try Scene(.declarative)
      let instance = try scene.open(.anon, granules: 1001, ("file", path))
      let bits = unsafe instance.record.pointee.zeroes!
      let hasHoles = bits.contains(100)
      let region = try instance.map()
      for index in 0..<1001 as Range<UInt64> {
        let isData = [0, 400, 401, 999].contains(index)
        #expect(region.load(index) == (isData ? index | 7 << 32 : 0), "granule \(index)")
        if isData { #expect(!bits.contains(index)) }
      }
      let end = try instance.settledStatistics()
      if hasHoles { #expect(end.knownZeroBytes >= 900 * 4096, "\(end)") }
      #expect(scene.state[\.allocs] == 0 && scene.state[\.extent_calls] == 0)
    }
  }
}

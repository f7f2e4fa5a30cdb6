// SPDX-License-Identifier: Apache-2.0
// Pages that a fault takes along, on the real kernel: that they are right, that they do nobody harm, and that
// whatever goes wrong with them is no more than a fault that is still to come.

import CLinux
import FaultInjection
import Glibc
import Testing

@testable import UffdHost

@Suite(
  "Pages beside a fault",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct AroundTests {
  /// "anon", or a kind and how it is mapped: s shared, b private, m private and filled alone.
  private static let kinds = ["anon", "shmem s", "shmem b", "shmem m"]

  private static func make(
    _ scene: Scene, _ what: String, _ granules: UInt64, _ more: (String, String)...
  ) throws -> (Instance, Region) {
    let words = what.split(separator: " ").map(String.init)
    let instance = try scene.host.open(
      scene.provider,
      parameters: [
        Parameter("memory", words[0]), Parameter("granule", "4096"),
        Parameter("size", "\(granules * 4096)"),
      ] + more.map { Parameter($0, $1) })
    let region = try instance.map(
      .with {
        $0.sharing = words.last == "s" ? .shared : .private
        $0.fill = words.last == "m" ? .mapping : .backing
      })
    return (instance, region)
  }

  /// What holds of every scene, whatever happened.
  private static func checkBooks(_ scene: Scene) {
    #expect(scene.state[\.lends] == scene.state[\.puts] && scene.state[\.bad_puts] == 0)
    #expect(scene.state[\.bad_adds] == 0 && scene.state[\.bad_removes] == 0)
    #expect(scene.host.statistics.providerViolations == 0)
  }

  @Test(
    "read in order, either way: few faults, each page asked for once", arguments: kinds, [1, 2])
  func inOrder(_ what: String, _ readers: Int) async {
    await #expect(processExitsWith: .success) { [what, readers] in
      let scene = try Scene(.parallel, .with { $0.readers = readers })
      for isBackwards in [false, true] {
        let before = scene.host.statistics
        let answered = scene.state[\.answered]
        let (instance, region) = try Self.make(scene, what, 1024)
        for step in 0..<1024 as Range<UInt64> {
          #expect(region.holdsContent(isBackwards ? 1023 - step : step))
        }
        let after = try instance.settledStatistics()
        let faults = after.faults.missing - before.faults.missing
        // Upwards a long run takes as much again behind what it takes. The thread is awake by then, and where there
        // is another reader, that one may serve it first: one fault and one question more for each of the eight.
        let expected: UInt64 = isBackwards ? 22 : 14
        let more: UInt64 = readers == 1 || isBackwards ? 0 : 8
        #expect(
          (expected...expected + more).contains(faults),
          "\(faults): 1, 2, 4, 8, 16, 32 pages, then 64 or 128")
        let around = after.installedAround - before.installedAround
        #expect((1024 - faults...1024 - expected).contains(around), "\(around)")
        #expect(after.faults.minor == 0)
        #expect((1024...1024 + more).contains(scene.state[\.answered] - answered))
        #expect(region.residentBytes == region.length)
      }
      Self.checkBooks(scene)
    }
  }

  @Test("off, or no more than so many", arguments: [1, 2, 16, 64, 10_000] as [UInt64])
  func limited(_ most: UInt64) async {
    await #expect(processExitsWith: .success) { [most] in
      let scene = try Scene(.parallel, .with { $0.faultAround = most == 1 ? .off : .upTo(most) })
      let (instance, region) = try Self.make(scene, "anon", 1024)
      #expect(region.difference() == -1)
      let end = try instance.settledStatistics()
      let faults: [UInt64: UInt64] = [1: 1024, 2: 513, 16: 68, 64: 22, 10_000: 14]
      #expect(end.faults.missing == faults[most], "\(end)")
      #expect(end.faults.missing + end.installedAround == 1024)
    }
  }

  @Test("touched in no order: one fault, one page; copies are as many as touches")
  func sparse() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let (instance, region) = try Self.make(scene, "anon", 10_000)
      var page: UInt64 = 1
      for _ in 0..<1_000 {
        page = (page &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407) >> 3 % 10_000
        #expect(region.holdsContent(page))
      }
      let end = try instance.settledStatistics()
      let touched = region.residentBytes / 4096
      #expect(end.installedAround <= end.faults.missing / 50, "\(end)")
      #expect(end.faults.missing + end.installedAround == touched)
    }
  }

  @Test(
    "all of it in no order: a piece that is half there is completed", arguments: kinds,
    [TestTable.parallel, .blocking])
  func dense(_ what: String, _ table: TestTable) async {
    await #expect(processExitsWith: .success) { [what, table] in
      let scene = try Scene(table)
      let (instance, region) = try Self.make(scene, what, 4_096)
      for step in 0..<4_096 as Range<UInt64> {
        let page = (step &* 1_237 &+ 77) % 4_096
        #expect(region.holdsContent(page), "granule \(page)")
        if step % 64 == 0 { #expect(region.residentBytes / 4_096 <= 2 * (step + 1) + 64) }
      }
      let end = try instance.settledStatistics()
      #expect(end.faults.total + end.installedAround >= 4_096, "\(end)")
      if table == .parallel { #expect((2_000...2_600).contains(end.faults.total), "\(end)") }
      #expect(region.residentBytes == region.length)
      Self.checkBooks(scene)
    }
  }

  @Test("what the backing holds is mapped along, too, and asked for page by page")
  func minor() async {
    await #expect(processExitsWith: .success) {
      for table in [TestTable.parallel, .blocking] {
        let scene = try Scene(table)
        let instance = try scene.open(.shmem, granules: 1024)
        try instance.publish()
        let before = scene.host.statistics
        let lookups = scene.state[\.lookups]
        for sharing in [Sharing.shared, .private] {
          let region = try instance.map(.with { $0.sharing = sharing })
          #expect(region.holdsContent(500))
          _ = try instance.settledStatistics()
          #expect(region.residentBytes == 16 * 4096, "aligned: 496 to 511")
          #expect(region.difference() == -1)
        }
        let after = try instance.settledStatistics()
        #expect((36...40).contains(after.faults.minor - before.faults.minor), "\(after)")
        #expect(scene.state[\.lookups] - lookups == 2 * 1024)
        #expect(after.installed.continued - before.installed.continued == 2 << 22)
      }
    }
  }

  @Test("a provider whose look-ups need a thread of its own is asked for what is touched alone")
  func minorElsewhere() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.perInstance)
      let instance = try scene.open(.shmem, granules: 64)
      try instance.publish()
      let region = try instance.map()
      #expect(region.difference() == -1)
      #expect(try instance.settledStatistics().faults.minor == 64)
    }
  }

  @Test(
    "one page that cannot be had: its neighbours are right, and it is given up when it is touched",
    arguments: kinds, [TestTable.parallel, .blocking, .perInstance])
  func failing(_ what: String, _ table: TestTable) async throws {
    try Machine.needPoison()
    await #expect(processExitsWith: .success) { [what, table] in
      let scene = try Scene(table)
      GuardedAccess.install()
      // GONE, IO_ERROR, NO_MEMORY.
      for (failing, status) in [(40, 6), (21, 5), (63, 4)] as [(UInt64, UInt64)] {
        let (instance, region) = try Self.make(scene, what, 200)
        let before = scene.host.statistics
        scene.state[\.fail_pgoff] = failing + 1
        scene.state[\.fail_status] = status
        scene.state[\.fail_times] = .max
        for index in 0..<200 as Range<UInt64> where index != failing {
          #expect(region.signal(index) == 0, "granule \(index) of \(what)")
          #expect(region.holdsContent(index))
        }
        var after = try instance.settledStatistics()
        #expect(after.givenUp == before.givenUp && region.poisonedBytes == 0, "not touched yet")
        #expect(region.signal(failing) == SIGBUS)
        after = try instance.settledStatistics()
        #expect(after.givenUp == before.givenUp + 1 && region.poisonedBytes == 4096)
        scene.state[\.fail_times] = 0
        #expect(region.signal(failing) == SIGBUS)
        #expect(region.holdsContent(failing - 1) && region.holdsContent(failing + 1))
      }
      Self.checkBooks(scene)
    }
  }

  @Test("a page that filemap_add refuses is its own trouble", arguments: ["shmem s", "shmem b"])
  func refused(_ what: String) async throws {
    try Machine.needPoison()
    await #expect(processExitsWith: .success) { [what] in
      let scene = try Scene()
      GuardedAccess.install()
      scene.state[\.refuse_pgoff] = 40 + 1
      scene.state[\.refuse_ns] = .max
      let (_, region) = try Self.make(scene, what, 200)
      for index in 0..<200 as Range<UInt64> where index != 40 {
        #expect(region.signal(index) == 0 && region.holdsContent(index), "granule \(index)")
      }
      #expect(region.poisonedBytes == 0)
      #expect(region.signal(40) == SIGBUS)
      #expect(scene.state[\.adds] == 199)
      Self.checkBooks(scene)
    }
  }

  @Test(
    "a poisoned page and a discarded one in the middle stay what they are", arguments: kinds,
    [TestTable.parallel, .blocking])
  func inTheMiddle(_ what: String, _ table: TestTable) async throws {
    try Machine.needPoison()
    await #expect(processExitsWith: .success) { [what, table] in
      let scene = try Scene(table)
      GuardedAccess.install()
      let (instance, region) = try Self.make(scene, what, 200)
      scene.state[\.fail_pgoff] = 40 + 1
      scene.state[\.fail_status] = 6
      scene.state[\.fail_times] = 1
      #expect(region.signal(40) == SIGBUS)
      #expect(region.advise(50, 2, MADV_DONTNEED) == 0)
      _ = try instance.settledStatistics()
      for index in 0..<200 as Range<UInt64> where index != 40 {
        #expect(region.signal(index) == 0, "granule \(index)")
        #expect(
          index == 50 || index == 51 ? region.isZero(index) : region.holdsContent(index),
          "granule \(index)")
      }
      #expect(region.signal(40) == SIGBUS && region.poisonedBytes == 4096)
      #expect(scene.state[\.answered] == 197)
      Self.checkBooks(scene)
    }
  }

  @Test(
    "a hole says nothing about its neighbours: they may be in the file", arguments: [false, true])
  func holes(_ isPrivate: Bool) async {
    await #expect(processExitsWith: .success) { [isPrivate] in
      // Each second page of the file is a hole, of which the provider knows the content.
      let path = "/dev/shm/uffdhost-test-around-\(getpid())"
      let fd = unsafe open(path, O_RDWR | O_CREAT | O_EXCL, 0o600)
      defer { unsafe unlink(path) }
      #expect(ftruncate(fd, 200 * 4096) == 0)
      for index in stride(from: 0, to: 200, by: 4) {
        var word = UInt64(index) | 7 << 32
        #expect(unsafe pwrite(fd, &word, 8, index * 4096) == 8)
        #expect(unsafe pwrite(fd, &word, 8, (index + 1) * 4096) == 8)
      }
      close(fd)
      let scene = try Scene(.declarative)
      let instance = try scene.open(.shmem, granules: 200, ("backing-file", path))
      let region = try instance.map(.with { $0.sharing = isPrivate ? .private : .shared })
      // Holes first, in order, then what is in the file.
      for index in 0..<200 as Range<UInt64> where index % 4 >= 2 {
        #expect(region.load(index) == contentWord(index), "granule \(index)")
      }
      for index in 0..<200 as Range<UInt64> where index % 4 < 2 {
        #expect(region.load(index) == index & ~1 | 7 << 32, "granule \(index)")
      }
    }
  }

  @Test("a provider that says BUSY is asked for the touched page alone, then for the rest")
  func busy() async {
    await #expect(processExitsWith: .success) {
      for kick in [0, 1] as [UInt64] {
        for what in Self.kinds {
          let scene = try Scene()
          let (instance, region) = try Self.make(scene, what, 400)
          scene.state[\.kick_first] = kick
          let busies = scene.state[\.busies]
          scene.state[\.busy_pgoff] = 40 + 1
          scene.state[\.busy_times] = 3
          // In the middle of a window; later each answer takes a while.
          for index in 0..<100 as Range<UInt64> { #expect(region.holdsContent(index)) }
          #expect(scene.state[\.busies] - busies == 3)
          scene.state[\.busy_pgoff] = .max
          scene.state[\.busy_times] = 20
          #expect(region.difference() == -1)
          let end = try instance.settledStatistics()
          #expect(end.givenUp == 0 && end.faults.missing < 200, "\(what): \(end)")
          Self.checkBooks(scene)
        }
      }
    }
  }

  @Test(
    "a slow provider: the touched page first, the rest meanwhile, and nothing twice",
    arguments: kinds, [TestTable.blocking, .perInstance])
  func slow(_ what: String, _ table: TestTable) async {
    await #expect(processExitsWith: .success) { [what, table] in
      let scene = try Scene(table)
      scene.state[\.delay_us] = 3_000
      let (instance, region) = try Self.make(scene, what, 512)
      #expect(region.difference() == -1)
      #expect(scene.state[\.allocs] < 60, "one page at a time is asked for 512 times")
      let end = try instance.settledStatistics()
      #expect(end.faults.missing < 60, "\(end)")
      #expect(
        scene.state[\.answered] <= 512 + 8, "\(scene.state[\.answered]) granules were provided")
      Self.checkBooks(scene)
    }
  }

  @Test(
    "pages beside a fault that hang hold up nobody for long, and are given up by nobody",
    arguments: kinds)
  func hanging(_ what: String) async {
    await #expect(processExitsWith: .success) { [what] in
      let scene = try Scene(.blocking, .with { $0.faultDeadlineNanoseconds = 2_000_000_000 })
      scene.state[\.gate_pgoff] = 100 + 1
      let (instance, region) = try Self.make(scene, what, 200)
      for index in 0..<200 as Range<UInt64> where index != 100 {
        #expect(region.holdsContent(index), "granule \(index)")
      }
      #expect(scene.state[\.gate_reached] >= 1, "nothing was fetched along with it")
      #expect(scene.host.statistics.givenUp == 0)
      scene.state[\.gate_open] = 1
      #expect(region.holdsContent(100))
      #expect(try instance.settledStatistics().givenUp == 0)
      region.detach()
      try instance.close()
      Self.checkBooks(scene)
    }
  }
}

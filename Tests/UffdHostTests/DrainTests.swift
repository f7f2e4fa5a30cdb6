// SPDX-License-Identifier: Apache-2.0
// Draining: everything is filled, then the kernel lets go, and the memory is still right.

import FaultInjection
import Glibc
import Synchronization
import Testing

@testable import UffdHost

@Suite(
  "Draining",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct DrainTests {
  private static func isWatched(_ region: Region) -> Bool {
    let flags = unsafe vmFlags(of: UnsafeRawPointer(region.start))
    return flags.contains("um") || flags.contains("ui")
  }

  @Test(
    "a drained region is ordinary memory with the right content",
    arguments: ["anon", "shmem s", "shmem b", "shmem m", "hugetlb s", "hugetlb b"],
    [TestTable.parallel, .blocking, .perInstance])
  func drained(_ what: String, _ table: TestTable) async throws {
    if what.hasPrefix("hugetlb") { try Machine.needHugePages() }
    await #expect(processExitsWith: .success) { [what, table] in
      let scene = try Scene(table)
      let (instance, region) = try DiscardTests.make(scene, what)
      #expect(Self.isWatched(region))
      region.store(1, 4711)
      try region.drain()
      #expect(!Self.isWatched(region))
      #expect(region.load(1) == 4711)
      let faults = scene.host.statistics.faults.total
      for index in 0..<4 as Range<UInt64> where index != 1 { #expect(region.holdsContent(index)) }
      #expect(scene.host.statistics.faults.total == faults, "a drained region raised a fault")
      let error = #expect(throws: HostError.self) { try region.drain() }
      #expect(error?.kind == .usage)
      region.detach()
      try instance.close()
      #expect(scene.state[\.bad_adds] == 0 && scene.state[\.bad_removes] == 0)
    }
  }

  @Test(
    "by all readers: each has a part in it, and each granule is asked for once", arguments: [2, 3])
  func shared(_ readers: Int) async {
    await #expect(processExitsWith: .success) { [readers] in
      let scene = try Scene(.parallel, .with { $0.readers = readers })
      let granules: UInt64 = 4_096
      func parts(_ name: Counters.Name) -> [UInt64] {
        (0..<readers).map { scene.host.session.readers[$0].counters.get(name) }
      }
      let region = try scene.open(.anon, granules: granules).map()
      try region.drain()
      #expect(parts(.copied).allSatisfy { $0 > 0 }, "\(parts(.copied))")
      #expect(parts(.copied).reduce(0, +) == granules * 4_096)
      #expect(scene.state[\.answered] == granules)
      #expect(region.difference() == -1)
      let instance = try scene.open(.shmem, granules: granules)
      try instance.publish(firstGranule: 1, count: granules - 2)
      #expect(parts(.published).allSatisfy { $0 > 0 }, "\(parts(.published))")
      #expect(parts(.published).reduce(0, +) == (granules - 2) * 4_096)
      #expect(scene.state[\.answered] == 2 * granules - 2)
    }
  }

  @Test("while 8 threads touch it", arguments: [1, 3])
  func underLoad(_ readers: Int) async {
    await #expect(processExitsWith: .success) { [readers] in
      let scene = try Scene(.parallel, .with { $0.readers = readers })
      for kind in [MemoryKind.anon, .shmem] {
        let region = try scene.open(kind, granules: 4000).map()
        let client = try inBackground {
          let wrong = unsafe client_verify(region.start, 0, region.length, 1, 4096, 8)
          if wrong != 0 { abort() }
        }
        try region.drain()
        client.join()
        #expect(!Self.isWatched(region))
        #expect(region.difference() == -1)
      }
    }
  }

  @Test("pages that cannot be had are poisoned and reported; the others are right")
  func failing() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      GuardedAccess.install()
      scene.state[\.fail_pgoff] = 5 + 1
      scene.state[\.fail_times] = .max
      scene.state[\.fail_status] = 6  // GONE
      scene.state[\.most] = 1
      for kind in [MemoryKind.anon, .shmem] {
        let region = try scene.open(kind, granules: 12).map()
        let error = #expect(throws: HostError.self) { try region.drain() }
        #expect(error?.kind == .service)
        #expect(!Self.isWatched(region))
        let signals = (0..<12).map { region.signal($0) }
        let poisoned = signals.enumerated().filter { $0.element == SIGBUS }.map(\.offset)
        #expect(poisoned.contains(5), "\(signals)")
        #expect(UInt64(poisoned.count) * 4096 == region.poisonedBytes, "\(signals)")
        #expect(error?.message.hasPrefix("\(poisoned.count) granules") == true, "\(signals)")
        for index in 0..<12 where signals[index] == 0 {
          #expect(region.holdsContent(UInt64(index)))
        }
      }
    }
  }

  @Test("what the client gave back before reads zero after the drain, too")
  func discarded() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      for what in ["anon", "shmem b", "shmem m"] {
        let (instance, region) = try DiscardTests.make(scene, what)
        if instance.hasBacking { try instance.publish() }
        #expect(region.difference() == -1)
        #expect(region.advise(3, 2, MADV_DONTNEED) == 0)
        try region.drain()
        #expect(region.isZero(3) && region.isZero(4), "\(what): old content after the drain")
        #expect(region.holdsContent(2) && region.holdsContent(5))
      }
    }
  }

  @Test(
    "a mapping that is filled alone gets the provider's content, whatever siblings did to the backing"
  )
  func alone() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.open(.shmem, granules: 16)
      let sibling = try instance.map()
      #expect(sibling.difference() == -1)
      sibling.store(2, 4711)
      #expect(sibling.advise(3, 1, MADV_REMOVE) == 0)
      #expect(sibling.isZero(3))
      let region = try instance.map(
        .with {
          $0.sharing = .private
          $0.fill = .mapping
        })
      try region.drain()
      #expect(region.holdsContent(2), "a sibling's write is in a mapping that is filled alone")
      #expect(region.holdsContent(3), "a sibling's hole is in a mapping that is filled alone")
      #expect(region.difference() == -1)
    }
  }

  @Test(
    "detached in the middle: the drain says so, and nobody asks the provider any more",
    arguments: [TestTable.parallel, .blocking], [1, 2])
  func detached(_ table: TestTable, _ readers: Int) async {
    await #expect(processExitsWith: .success) { [table, readers] in
      let scene = try Scene(table, .with { $0.readers = readers })
      for kind in [MemoryKind.anon, .shmem] {
        scene.state[\.delay_us] = 1_000
        scene.state[\.most] = 4
        let instance = try scene.open(kind, granules: 20_000)
        let region = try instance.map()
        let allocs = scene.state[\.allocs]
        let message = Mutex("")
        let drain = try inBackground {
          do throws(HostError) { try region.drain() } catch {
            message.withLock { $0 = error.message }
          }
        }
        #expect(scene.state.wait(for: \.allocs, atLeast: allocs + 20))
        region.detach()
        try instance.close()
        let asked = scene.state[\.allocs]
        usleep(50_000)
        #expect(scene.state[\.allocs] == asked, "a hook was called after close")
        drain.join()
        #expect(message.withLock { $0 }.contains("was detached while it was drained"))
        #expect(unsafe scene.host.session.record.pointee.table.count == 0)
      }
    }
  }

  @Test("detached in the middle of a drain that cannot succeed: nothing knows its record any more")
  func detachedHeld() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.blocking, .with { $0.onError = .hold })
      scene.state[\.fail_pgoff] = 5 + 1
      scene.state[\.fail_times] = .max
      scene.state[\.fail_status] = 6  // GONE
      scene.state[\.most] = 1
      scene.state[\.gate_pgoff] = 8 + 1
      let instance = try scene.open(.anon, granules: 12)
      do {
        let region = try instance.map()
        let drain = try inBackground { try? region.drain() }
        #expect(scene.state.wait(for: \.gate_reached, atLeast: 1))
        region.detach()
        scene.state[\.gate_open] = 1
        drain.join()
      }
      #expect(unsafe scene.host.session.record.pointee.table.count == 0)
      try instance.close()
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// Providers that answer later, and pages that are given up: busy, kicks, deadlines, poison, kill and hold.

import FaultInjection
import Glibc
import Testing

@testable import UffdHost

@Suite(
  "Waiting for a provider",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct WaitingTests {
  @Test(
    "a busy provider is asked again by timer, with the same ticket",
    arguments: [TestTable.parallel, .blocking, .serial], [MemoryKind.anon, .shmem])
  func busy(_ table: TestTable, _ kind: MemoryKind) async {
    await #expect(processExitsWith: .success) { [table, kind] in
      let scene = try Scene(table)
      let region = try scene.open(kind, granules: 8).map()
      scene.state[\.busy_pgoff] = 3 + 1
      scene.state[\.busy_times] = 6
      #expect(region.holdsContent(3))
      #expect(scene.state[\.busies] == 6)
      #expect(scene.state[\.ticket_changes] == 0)
      #expect(region.difference() == -1)
    }
  }

  @Test("a kick is sooner than the timer, also when it comes before BUSY is returned")
  func kicks() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let region = try scene.open(.shmem, granules: 8).map()
      scene.state[\.busy_pgoff] = 3 + 1
      // By timer 60 answers of BUSY take 1 + 2 + 4 + ... + 64 + 53 times 100 ms.
      scene.state[\.busy_times] = 60
      scene.state[\.kick_first] = 1
      let started = monotonicNanoseconds()
      #expect(region.holdsContent(3))
      let elapsed = monotonicNanoseconds() - started
      #expect(scene.state[\.busies] == 60)
      #expect(elapsed < 4_000_000_000, "\(elapsed) ns: the kick was lost")
    }
  }

  @Test("a busy lookup, too")
  func busyLookup() async {
    await #expect(processExitsWith: .success) {
      for table in [TestTable.parallel, .serial] {
        let scene = try Scene(table)
        let instance = try scene.open(.shmem, granules: 40)
        try instance.publish()
        scene.state[\.lookup_busy] = 20
        let region = try instance.map()
        #expect(unsafe client_verify(region.start, 0, region.length, 1, 4096, 8) == 0)
        #expect(scene.state[\.lookup_busy] == 0)
      }
    }
  }

  @Test("a page whose provider hangs does not hold up the others", arguments: [1, 3])
  func othersGoOn(_ readers: Int) async {
    await #expect(processExitsWith: .success) { [readers] in
      let scene = try Scene(.blocking, .with { $0.readers = readers })
      let region = try scene.open(.shmem, granules: 200).map()
      scene.state[\.gate_pgoff] = 100 + 1
      let sleeper = try inBackground { if !region.holdsContent(100) { abort() } }
      #expect(scene.state.wait(for: \.gate_reached, atLeast: 1))
      for index in 0..<200 as Range<UInt64> where index != 100 {
        #expect(region.holdsContent(index))
      }
      scene.state[\.gate_open] = 1
      sleeper.join()
    }
  }

  @Test(
    "past the deadline the page is poisoned, and the late answer is undone",
    arguments: [TestTable.blocking, .perInstance], ["anon", "shmem"])
  func deadline(_ table: TestTable, _ kind: String) async throws {
    try Machine.needPoison()
    await #expect(processExitsWith: .success) { [table, kind] in
      let scene = try Scene(
        table,
        .with {
          $0.faultDeadlineNanoseconds = 500_000_000
          $0.faultAround = .off
        })
      GuardedAccess.install()
      scene.state[\.answer] = UInt64(TEST_ANSWER_LENT.rawValue)
      let instance = try scene.open(MemoryKind(rawValue: kind)!, granules: 64, ("lend", "1"))
      let region = try instance.map()
      scene.state[\.gate_pgoff] = 5 + 1
      let started = monotonicNanoseconds()
      #expect(region.signal(5) == SIGBUS)
      let elapsed = monotonicNanoseconds() - started
      #expect((500_000_000..<5_000_000_000).contains(elapsed), "\(elapsed) ns")
      #expect(scene.state[\.cancels] == 1)
      #expect(region.signal(5) == SIGBUS)
      // Woken by the POISON, we may be ahead of the reader that counts it.
      #expect(eventually { region.poisonedBytes == 4096 })
      scene.state[\.gate_open] = 1
      #expect(scene.state.wait(for: \.puts, atLeast: 1))
      #expect(region.signal(5) == SIGBUS, "the late answer came through")
      #expect(region.holdsContent(6))
      if kind == "shmem" {
        // Poison is of the mapping: another region gets the content.
        #expect(try instance.map().holdsContent(5))
      }
      region.detach()
      _ = try instance.settledStatistics()
      let end = scene.host.statistics
      #expect(end.givenUp == 1 && end.installed.poisoned == 4096, "\(end)")
      try instance.close()
      #expect(scene.state[\.lends] == scene.state[\.puts] && scene.state[\.bad_puts] == 0)
      let balance = scene.state[\.adds] - scene.state[\.removes]
      #expect(balance == (kind == "shmem" ? 2 : 0), "\(balance) granules are accounted")
      #expect(scene.state[\.bad_adds] == 0 && scene.state[\.bad_removes] == 0)
    }
  }

  @Test("a late answer for fewer granules than were asked takes back exactly those")
  func lateAndShort() async throws {
    try Machine.needPoison()
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.perInstance, .with { $0.faultDeadlineNanoseconds = 100_000_000 })
      let instance = try scene.open(.shmem, granules: 64)
      scene.state[\.gate_pgoff] = 5 + 1
      scene.state[\.most] = 4
      #expect(throws: HostError.self) { try instance.publish(firstGranule: 5, count: 16) }
      scene.state[\.gate_open] = 1
      #expect(eventually { scene.state[\.removes] > 0 })
      try instance.close()
      #expect(scene.state[\.bad_removes] == 0, "more was removed than was added")
      #expect(scene.state[\.adds] == scene.state[\.removes])
    }
  }

  @Test("hold: asked again until it works, and the thread sleeps on past every deadline")
  func hold() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(
        .parallel,
        .with {
          $0.onError = .hold
          $0.faultDeadlineNanoseconds = 50_000_000
        })
      let region = try scene.open(.shmem, granules: 8).map()
      scene.state[\.fail_pgoff] = 2 + 1
      scene.state[\.fail_status] = 6
      scene.state[\.fail_times] = .max
      let sleeper = try inBackground { if !region.holdsContent(2) { abort() } }
      #expect(eventually { scene.state[\.allocs] >= 4 })
      #expect(scene.host.statistics.parkedNow >= 1)
      #expect(region.holdsContent(3))
      let error = #expect(throws: HostError.self) { try region.drain() }
      #expect(error?.message.contains("stays watched") == true)
      scene.state[\.fail_times] = 0
      sleeper.join()
      try region.drain()
      #expect(region.difference() == -1)
      #expect(scene.host.statistics.installed.poisoned == 0)
    }
  }

  @Test("failures: those that may pass are tried again, those that cannot are not")
  func failures() async throws {
    try Machine.needPoison()
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.parallel, .with { $0.faultAround = .off })
      GuardedAccess.install()
      let region = try scene.open(.anon, granules: 16).map()
      // IO_ERROR and NO_MEMORY twice, then the content; GONE, OUT_OF_RANGE, ABSENT once.
      for (index, status, passes) in [
        (1, 5, true), (2, 4, true), (3, 6, false), (4, 3, false), (5, 1, false),
      ] as [(UInt64, UInt64, Bool)] {
        scene.state[\.fail_pgoff] = index + 1
        scene.state[\.fail_status] = status
        scene.state[\.fail_times] = passes ? 2 : 1
        #expect(region.signal(index) == (passes ? 0 : SIGBUS), "status \(status)")
        if passes { #expect(region.holdsContent(index)) }
      }
      // For ever: given up after some tries, well before the deadline.
      scene.state[\.fail_pgoff] = 6 + 1
      scene.state[\.fail_status] = 5
      scene.state[\.fail_times] = .max
      #expect(region.signal(6) == SIGBUS)
      scene.state[\.fail_times] = 0
      #expect(region.holdsContent(7))
      #expect(region.signal(6) == SIGBUS, "poison was filled over")
    }
  }

  @Test(
    "an unknown status and a wild pointer: the provider's regions fail closed, the process lives")
  func broken() async throws {
    try Machine.needPoison()
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.parallel, .with { $0.faultAround = .off })
      GuardedAccess.install()
      let sound = try scene.open(.anon, granules: 8).map()
      let wild = try scene.open(.anon, granules: 8, ("lend", "1")).map()
      scene.state[\.answer] = UInt64(TEST_ANSWER_LENT_WILD.rawValue)
      #expect(wild.signal(0) == SIGBUS)
      scene.state[\.answer] = 0
      #expect(wild.holdsContent(1), "one bad pointer is one bad page")
      #expect(scene.state[\.lends] == scene.state[\.puts])
      scene.state[\.fail_pgoff] = .max
      scene.state[\.fail_status] = 99
      scene.state[\.fail_times] = 1
      #expect(wild.signal(2) == SIGBUS)
      #expect(wild.signal(3) == SIGBUS)
      #expect(
        wild.instance.contractViolation?.contains("a status that ABI 1 does not have") == true)
      #expect(sound.instance.contractViolation == nil)
      #expect(sound.difference() == -1)
    }
  }

  @Test(
    "a kernel that cannot poison, and the policy kill: the client is killed",
    arguments: [false, true])
  func kill(_ isPolicy: Bool) async {
    await #expect(processExitsWith: .signal(SIGKILL)) { [isPolicy] in
      let scene = try Scene(
        .parallel,
        .with {
          $0.faultAround = .off
          if isPolicy {
            $0.onError = .kill
          } else {
            $0.tuning.featureMask = KernelFeatures.all.subtracting(.poison)
          }
        })
      let region = try scene.open(.anon, granules: 8).map()
      if !region.holdsContent(1) { abort() }
      scene.state[\.fail_pgoff] = 2 + 1
      scene.state[\.fail_status] = 6
      scene.state[\.fail_times] = 1
      _ = region.load(2)
      abort()
    }
  }

  @Test("a refused filemap_add is tried again after a pause, also while other pages are published")
  func pausesHold() async throws {
    try Machine.needPoison()
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.parallel, .with { $0.faultAround = .off })
      GuardedAccess.install()
      let region = try scene.open(.shmem, granules: 8000).map()
      scene.state[\.refuse_ns] = 15_000_000
      scene.state[\.refuse_pgoff] = 7999 + 1
      let refused = try inBackground { if region.signal(7999) != 0 { abort() } }
      // Each of these publishes a page.
      for index in 0..<7999 as Range<UInt64> { _ = region.load(index) }
      refused.join()
      #expect(region.difference() == -1)
      #expect(scene.state[\.refusals] <= 3)
    }
  }
}

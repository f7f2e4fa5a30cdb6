// SPDX-License-Identifier: Apache-2.0
// Other processes as clients of the core: their memory is right
// whatever they do with it, and each is let go only when nothing of it is missing.

import FaultInjection
import Glibc
import Synchronization
import Testing
import UffdPluginABI

@testable import UffdHost

@Suite(
  "Clients of the core",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct ClientTests {
  /// Plays one scenario to its end; the memory must have been right and the client be gone after it.
  private static func play(
    _ scenario: Int32, _ memory: Int32, _ table: TestTable = .parallel, readers: Int = 1
  ) throws {
    let scene = try Scene(table, .with { $0.readers = readers })
    let instance = try scene.openForClients()
    let handed = try Handed(
      instance, handed_scenario(rawValue: scenario), handed_memory(rawValue: memory))
    handed.go()
    #expect(handed.wait() == 0, "the line of handed.c less one")
    #expect(handed.end() == .gone)
    // Children end by the timed question.
    let limit = monotonicNanoseconds() + 3_000_000_000
    while !scene.host.clients.all.isEmpty, monotonicNanoseconds() < limit { sleepBriefly() }
    #expect(scene.host.clients.all.isEmpty)
    #expect(scene.state[\.bad_adds] == 0 && scene.state[\.adds] == 0)
  }

  @Test(
    "whatever it does, it reads what it should",
    arguments: [
      HANDED_TOUCH, HANDED_DISCARD, HANDED_MOVE, HANDED_DONTUNMAP, HANDED_GROW, HANDED_FORK,
    ].map(\.rawValue), [TestTable.parallel, .blocking, .serial])
  func anonymous(_ scenario: Int32, _ table: TestTable) async {
    await #expect(processExitsWith: .success) { [scenario, table] in
      try Self.play(scenario, HANDED_ANON.rawValue, table)
    }
  }

  @Test(
    "with a memfd, shared and private",
    arguments: [HANDED_TOUCH, HANDED_MOVE, HANDED_DONTUNMAP].map(\.rawValue),
    [HANDED_SHARED, HANDED_PRIVATE].map(\.rawValue))
  func backed(_ scenario: Int32, _ memory: Int32) async {
    await #expect(processExitsWith: .success) { [scenario, memory] in
      try Self.play(scenario, memory)
    }
  }

  @Test(
    "what it gives back while its reads take pages along reads zero, and everything else is right",
    arguments: [TestTable.parallel, .blocking, .perInstance], [true, false])
  func givesBack(_ table: TestTable, _ takesAlong: Bool) async {
    await #expect(processExitsWith: .success) { [table, takesAlong] in
      let scene = try Scene(table, .with { if !takesAlong { $0.faultAround = .off } })
      if table != .parallel { scene.state[\.delay_us] = takesAlong ? 300 : 1 }
      let pages: UInt64 = takesAlong ? 40_000 : 4_000
      let instance = try scene.openForClients(pages: pages)
      let handed = try Handed(instance, HANDED_RACE, pages: pages)
      handed.go()
      #expect(handed.wait(seconds: 50) == 0, "the line of handed.c less one")
      let end = scene.host.statistics
      #expect(end.discarded >= pages / 64 && end.givenUp == 0, "\(end)")
      #expect(takesAlong ? end.installedAround > pages / 2 : end.installedAround == 0, "\(end)")
    }
  }

  @Test("a family of forks has so many clients, and what more of them miss is poisoned")
  func family() async throws {
    try Machine.needPoison()
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.parallel, .with { $0.mostOfFamily = 3 })
      let instance = try scene.openForClients()
      let handed = try Handed(instance, HANDED_FAMILY)
      handed.go()
      #expect(handed.wait() == 0, "the line of handed.c less one")
      #expect(handed.end() == .gone)
      // Another client is no member of it.
      let other = try Handed(instance, HANDED_TOUCH)
      other.go()
      #expect(other.wait() == 0, "the line of handed.c less one")
    }
  }

  @Test("a userfaultfd that cannot be watched is refused, and nothing of it stays")
  func unwatched() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.openForClients()
      let region = ClientRegion(
        start: 1 << 30, length: 4096, offset: 0, sharing: .private, isMinor: false, backing: nil)
      let plan = try ClientPlan(instance, [region], [])
      let identity = ClientIdentity(pid: 1, uid: 0, gid: 0, pidfd: nil, dialect: "test")
      // epoll(7) refuses it, as it does where there is no memory for another watch.
      let none = Descriptor(owning: -1)
      do throws(HostError) {
        _ = try Client(plan, identity, uffd: none, onEnd: { _, _ in })
        Issue.record("it is taken on, and nobody reads it")
      } catch {
        #expect(error.message.contains("cannot be watched (EBADF)"))
      }
      #expect(scene.host.clients.all.isEmpty)
      try instance.close()
    }
  }

  @Test("a userfaultfd that came out of a fork event is refused, for a read of it may wait")
  func madeForFork() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.openForClients()
      var process = handed()
      let started = unsafe handed_start(
        &process, HANDED_ANON, HANDED_FAMILY, 64, Handed.allEvents, 1)
      try #require(started == 0)
      unsafe handed_go(&process)
      let uffd = Descriptor(owning: process.uffd)
      // The event is the first thing that it says.
      var message = [UInt64](repeating: 0, count: 4)
      let calls = UffdCalls(fd: uffd.fd, table: .kernel)
      let isTold = eventually { unsafe calls.read(&message, 32) == 32 }
      #expect(isTold)
      let made = Descriptor(owning: Int32(truncatingIfNeeded: message[1]))
      let region = ClientRegion(
        start: process.start, length: process.length, offset: 0, sharing: .private, isMinor: false,
        backing: nil)
      let identity = ClientIdentity(pid: process.pid, uid: 0, gid: 0, pidfd: nil, dialect: "test")
      do throws(HostError) {
        _ = try Client(
          ClientPlan(instance, [region], []), identity, uffd: made, onEnd: { _, _ in })
        Issue.record("it is taken")
      } catch {
        #expect(error.message.contains("was made by the kernel for a fork"))
      }
      kill(process.pid, SIGKILL)
      try instance.close()
    }
  }

  @Test("memory that is unmapped under a sleeping thread is SIGSEGV there, and the rest goes on")
  func unmapped() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.blocking)
      let instance = try scene.openForClients()
      scene.state[\.gate_pgoff] = 2
      let handed = try Handed(instance, HANDED_UNMAP)
      handed.go()
      #expect(scene.state.wait(for: \.gate_reached, atLeast: 1))
      handed.go()
      // It is woken although its page never comes; the hook that hangs is let go only afterwards.
      let status = handed.wait(seconds: 3)
      scene.state[\.gate_open] = 1
      #expect(status == 0, "the line of handed.c less one")
      #expect(handed.end() == .gone)
    }
  }

  @Test("a page that cannot be had is SIGBUS there, and its neighbours are right")
  func poisoned() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.openForClients()
      scene.state[\.fail_pgoff] = 2
      scene.state[\.fail_status] = UInt64(uffd_status.gone.rawValue)
      scene.state[\.fail_times] = .max
      let handed = try Handed(instance, HANDED_SIGBUS)
      handed.go()
      #expect(handed.wait() == 0, "the line of handed.c less one")
      #expect(scene.host.statistics.installed.poisoned == 4096)
    }
  }

  @Test("under the policy kill the client dies, and another one goes on")
  func killed() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(
        .parallel,
        .with {
          $0.onError = .kill
          $0.faultAround = .off
        })
      let instance = try scene.openForClients()
      let other = try Handed(instance, HANDED_WAIT)
      other.go()
      scene.state[\.fail_pgoff] = 2
      scene.state[\.fail_status] = UInt64(uffd_status.gone.rawValue)
      scene.state[\.fail_times] = 1
      let handed = try Handed(instance, HANDED_TOUCH)
      handed.go()
      #expect(handed.wait() == 256 + SIGKILL)
      #expect(handed.end() == .gone)
      other.go()
      #expect(other.wait() == 0)
    }
  }

  @Test(
    "drained while nothing was touched: everything is there, nothing is watched, right to the end",
    arguments: [HANDED_ANON, HANDED_SHARED, HANDED_PRIVATE].map(\.rawValue))
  func drained(_ memory: Int32) async {
    await #expect(processExitsWith: .success) { [memory] in
      let scene = try Scene()
      let instance = try scene.openForClients(pages: 3000)
      let handed = try Handed(
        instance, HANDED_WAIT, handed_memory(rawValue: memory), pages: 3000)
      handed.go()
      handed.client.drain()
      handed.client.drain()
      #expect(handed.end() == .drained(poisoned: 0))
      #expect(handed.client.progress.phase == .drained)
      let faults = scene.host.statistics.faults.total
      handed.go()
      #expect(handed.wait() == 0, "the line of handed.c less one")
      #expect(scene.host.statistics.faults.total == faults)
    }
  }

  @Test("memory that was replaced without an event does not keep a drain from its end")
  func replaced() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.openForClients()
      let handed = try Handed(instance, HANDED_BALLOON, features: 0b1000)
      handed.go()
      handed.awaitWord()
      handed.client.drain()
      #expect(handed.end() == .drained(poisoned: 0))
      handed.go()
      #expect(handed.wait() == 0, "the line of handed.c less one")
    }
  }

  @Test("what is missing is poisoned when time is up: never zero")
  func cutShort() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.blocking)
      let instance = try scene.openForClients()
      // Every fill hangs.
      scene.state[\.gate_pgoff] = .max
      let handed = try Handed(instance, HANDED_SIGBUS)
      handed.client.drain()
      #expect(scene.state.wait(for: \.gate_reached, atLeast: 1))
      handed.client.poisonMissing()
      #expect(handed.end() == .drained(poisoned: 64 * 4096))
      scene.state[\.gate_open] = 1
      handed.go()
      // Page 1 is SIGBUS as it expects, and so is page 0, which ends it.
      #expect(handed.wait() == 256 + SIGBUS)
    }
  }

  @Test("a client that executes another program, and one that is killed, are gone")
  func gone() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.openForClients()
      let executing = try Handed(instance, HANDED_EXEC)
      executing.go()
      #expect(executing.end() == .gone)
      let killed = try Handed(instance, HANDED_SLEEP)
      killed.go()
      #expect(killed.client.kill(Reporter({ _, _ in })))
      #expect(killed.wait() == 256 + SIGKILL)
      #expect(killed.end() == .gone)
      #expect(killed.client.progress.phase == .gone)
      #expect(scene.host.clients.all.isEmpty)
    }
  }

  @Test("a detached client stalls on what is missing, and its uffd stays open until it ends")
  func detached() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.openForClients()
      let handed = try Handed(instance, HANDED_WAIT)
      handed.go()
      handed.client.detach()
      #expect(handed.client.progress.phase == .detached)
      handed.go()
      #expect(handed.wait(seconds: 1) == -1, "it read something")
      #expect(handed.client.kill(Reporter({ _, _ in })))
      #expect(handed.end() == .gone)
    }
  }

  @Test("regions that cannot be served are refused in words, and nothing of them is kept")
  func refused() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.openForClients()
      let page: UInt64 = 4096
      let good = ClientRegion(start: 1 << 30, length: 8 * page, offset: 0)
      var bad: [([ClientRegion], String)] = [([], "no regions")]
      func change(_ words: String, _ change: (inout ClientRegion) -> Void) {
        var region = good
        change(&region)
        bad.append(([region], words))
      }
      change("multiples") { $0.start += 1 }
      change("multiples") { $0.length += 512 }
      change("multiples") { $0.offset = 100 }
      change("multiples") { $0.length = 0 }
      change("granules of 4096") { $0.pageSize = 2 << 20 }
      change("address space") { $0.start = ~4095 }
      change("address space") { $0.length = ~4095 }
      change("object of") { $0.offset = 60 * page }
      change("object of") { $0.offset = ~4095 }
      change("memfd 0") { $0.backing = 0 }
      change("memfd did not come") {
        $0.sharing = .shared
        $0.isMinor = true
      }
      var second = good
      second.start += 7 * page
      bad.append(([good, second], "overlaps"))
      for (regions, words) in bad {
        let error = #expect(throws: HostError.self) { try ClientPlan(instance, regions, []) }
        #expect(error?.kind == .usage)
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
      }
      #expect(scene.host.clients.all.isEmpty)
      try instance.close()
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// Other processes, recorded and prefetched: what one touched is there
// before the next one touches it, and whatever a client does to its memory meanwhile, it reads what it
// should.

import FaultInjection
import Glibc
import Testing
import UffdPluginABI

@testable import UffdHost

@Suite(
  "Clients: recording and prefetch",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct ClientPrefetchTests {
  @Test(
    "what one client touched raises no fault in the next",
    arguments: [HANDED_ANON, HANDED_SHARED, HANDED_PRIVATE].map(\.rawValue),
    [TestTable.parallel, .blocking, .serial])
  func replayed(_ memory: Int32, _ table: TestTable) async {
    await #expect(processExitsWith: .success) { [memory, table] in
      let scene = try Scene(table)
      let instance = try scene.openForClients(pages: 200)
      let memory = handed_memory(rawValue: memory)
      let recording = try Recording(instance)
      let first = try Handed(instance, HANDED_TOUCH, memory, pages: 200, recording: recording)
      first.go()
      #expect(first.wait() == 0 && first.end() == .gone)
      let touches = recording.touches
      // It reads from one end to the other, and a recorded client is served page by page.
      #expect(touches.map(\.granule) == Array(0..<200))
      #expect(first.client.progress.statistics.faults.total >= 200)

      let second = try Handed(instance, HANDED_WAIT, memory, pages: 200)
      second.go()
      let prefetch = second.client.prefetch(touches.map { $0.granule..<($0.granule + 1) })
      prefetch.wait()
      #expect(prefetch.progress.filled == 200)
      #expect(second.client.progress.missingBytes == 0)
      second.go()
      #expect(second.wait() == 0, "the line of handed.c less one")
      #expect(second.client.progress.statistics.faults.total == 0)
      #expect(scene.state[\.bad_adds] == 0 && scene.state[\.adds] == 0)
    }
  }

  @Test("a part that was touched: the rest stays missing")
  func part() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.openForClients(pages: 64)
      let handed = try Handed(instance, HANDED_WAIT)
      handed.go()
      let prefetch = handed.client.prefetch([60..<1000, 3..<7, 5..<8])
      prefetch.wait()
      #expect(prefetch.progress.total == 9 && prefetch.progress.filled == 9)
      #expect(handed.client.progress.missingBytes == 55 * 4096)
      handed.go()
      #expect(handed.wait() == 0)
    }
  }

  @Test(
    "whatever it does meanwhile, it reads what it should",
    arguments: [
      HANDED_TOUCH, HANDED_DISCARD, HANDED_MOVE, HANDED_DONTUNMAP, HANDED_GROW, HANDED_FORK,
    ].map(\.rawValue), [TestTable.parallel, .blocking])
  func busy(_ scenario: Int32, _ table: TestTable) async {
    await #expect(processExitsWith: .success) { [scenario, table] in
      let scene = try Scene(table)
      if table == .blocking { scene.state[\.delay_us] = 50 }
      for pages in [64, 3000] as [UInt64] {
        let instance = try scene.openForClients(pages: pages)
        for delay in [0, 300, 2000] as [UInt32] {
          let handed = try Handed(
            instance, handed_scenario(rawValue: scenario), pages: pages)
          let prefetch = handed.client.prefetch([0..<pages])
          usleep(delay)
          handed.go()
          #expect(handed.wait() == 0, "the line of handed.c less one")
          #expect(handed.end() == .gone)
          prefetch.wait()
          #expect(handed.client.progress.statistics.givenUp == 0)
        }
        // Their reader lets go of them a little later.
        #expect(eventually { (try? instance.close()) != nil })
      }
    }
  }

  @Test("a client that dies, is let go or detached in the middle: the prefetch ends")
  func ended() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.blocking)
      let instance = try scene.openForClients(pages: 50_000)
      scene.state[\.delay_us] = 200
      scene.state[\.most] = 4
      func begin() throws -> (Handed, Prefetch) {
        let handed = try Handed(instance, HANDED_SLEEP, pages: 50_000)
        handed.go()
        let prefetch = handed.client.prefetch([0..<50_000])
        #expect(eventually(seconds: 20) { prefetch.progress.filled > 100 })
        return (handed, prefetch)
      }
      let (killed, first) = try begin()
      #expect(killed.client.kill(Reporter({ _, _ in })))
      first.wait()
      #expect(killed.end(seconds: 20) == .gone && first.progress.done < 50_000)
      let (detached, second) = try begin()
      detached.client.detach()
      second.wait()
      #expect(second.progress.done < 50_000)
      // No more of it.
      let third = detached.client.prefetch([0..<50_000])
      third.wait()
      #expect(third.progress.done == 0)
      #expect(detached.client.kill(Reporter({ _, _ in })))
      #expect(detached.end(seconds: 20) == .gone)
      let fourth = detached.client.prefetch([0..<50_000])
      fourth.wait()
      let (drained, fifth) = try begin()
      scene.state[\.delay_us] = 0
      scene.state[\.most] = 0
      drained.client.drain()
      #expect(drained.end(seconds: 40) == .drained(poisoned: 0))
      fifth.wait()
      #expect(drained.client.kill(Reporter({ _, _ in })))
    }
  }

  @Test("a failing provider leaves pages missing, and the client learns of it when it touches one")
  func failing() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.openForClients(pages: 64)
      scene.state[\.fail_pgoff] = 2
      scene.state[\.fail_status] = UInt64(uffd_status.gone.rawValue)
      scene.state[\.fail_times] = .max
      let handed = try Handed(instance, HANDED_SIGBUS)
      let prefetch = handed.client.prefetch([0..<64])
      prefetch.wait()
      #expect(prefetch.progress.left > 0)
      #expect(scene.host.statistics.installed.poisoned == 0)
      handed.go()
      #expect(handed.wait() == 0, "the line of handed.c less one")
      #expect(scene.host.statistics.installed.poisoned == 4096)
    }
  }

  @Test("the touches of forked children belong to the recording of their parent")
  func forked() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.openForClients(pages: 64)
      let recording = try Recording(instance)
      let handed = try Handed(instance, HANDED_FORK, recording: recording)
      handed.go()
      #expect(handed.wait() == 0, "the line of handed.c less one")
      #expect(recording.touches.map(\.granule).sorted() == Array(0..<64))
    }
  }
}

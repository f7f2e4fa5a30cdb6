// SPDX-License-Identifier: Apache-2.0
// In which order the workers come to what is asked of them: whoever waits before whoever does not, one client
// no later than a turn behind another, and what is taken back before it is brought anew.

import FaultInjection
import Glibc
import Synchronization
import Testing

@testable import UffdHost

@Suite(
  "The order of the workers",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct WorkerOrderTests {
  @Test(
    "what did not reach the backing is out of the filemap before it is accounted again",
    arguments: [TestTable.perInstance, .serial])
  func filemap(_ table: TestTable) async {
    await #expect(processExitsWith: .success) { [table] in
      let scene = try Scene(
        table,
        .with {
          $0.faultAround = .off
          $0.tuning.calls = unsafe UffdCallTable(UnsafeRawPointer(fault_injection_table()!))
        })
      let instance = try scene.open(.shmem, granules: 200)
      let region = try instance.map()
      scene.state[\.gate_pgoff] = 100 + 1
      let fill = try region.prefetch([100..<108])
      #expect(scene.state.wait(for: \.gate_reached, atLeast: 1))
      // Faults that the worker comes to before the piece is taken back and tried again.
      let before = scene.host.statistics.faults.total
      let threads = try (0..<12 as Range<UInt64>).map { index in
        try inBackground { if !region.holdsContent(index) { abort() } }
      }
      #expect(eventually { scene.host.statistics.faults.total >= before + 12 })
      scene.state[\.delay_us] = 5_000
      fault_inject(FAULT_CALL_COPY, 1, EAGAIN, 4096)
      scene.state[\.gate_open] = 1
      for thread in threads { thread.join() }
      fill.wait()
      #expect(fault_answered(FAULT_CALL_COPY) == 1)
      scene.state[\.delay_us] = 0
      #expect(scene.state[\.bad_adds] == 0, "it was accounted before it was taken back")
      #expect(scene.state[\.bad_removes] == 0)
      let sibling = try instance.map()
      #expect(sibling.difference() == -1)
      #expect(instance.contractViolation == nil)
    }
  }

  @Test("a hole that a client makes while others look the page up is no fault of the provider")
  func holes() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.perInstance, .with { $0.faultAround = .off })
      for _ in 0..<40 {
        let instance = try scene.open(.shmem, granules: 16)
        let regions = try (0..<3).map { _ in try instance.map() }
        #expect(regions[0].difference() == -1)
        let threads = try regions.dropFirst().map { region in
          try inBackground {
            for index in 0..<16 as Range<UInt64> { _ = region.load(index) }
          }
        }
        for index in 0..<16 as Range<UInt64> {
          #expect(regions[0].advise(index, 1, MADV_REMOVE) == 0)
          _ = regions[0].load(index)
        }
        for thread in threads { thread.join() }
        #expect(instance.contractViolation == nil)
      }
      #expect(scene.state[\.bad_adds] == 0 && scene.state[\.bad_removes] == 0)
    }
  }

  @Test("a quiet client beside a storm on a slow provider waits for its turn, not for the storm")
  func quiet() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.blocking, .with { $0.faultAround = .off })
      let instance = try scene.openForClients(pages: 800)
      let region = try instance.map()
      let handed = try Handed(instance, HANDED_TOUCH, pages: 1)
      scene.state[\.delay_us] = 20_000
      // 400 faults of 20 ms by 8 workers, and no two of them neighbours: a second of work.
      let started = monotonicNanoseconds()
      let threads = try (0..<400 as Range<UInt64>).map { index in
        try inBackground { if region.load(2 * index) != contentWord(2 * index) { abort() } }
      }
      #expect(eventually { scene.host.statistics.faults.total >= 390 })
      handed.go()
      #expect(handed.wait() == 0, "the line of handed.c less one")
      // From the moment when its reader heard of it: when a process runs is the machine's business.
      let latency = handed.client.progress.latency
      let waited = latency.max / 1_000_000
      for thread in threads { thread.join() }
      let all = (monotonicNanoseconds() - started) / 1_000_000
      #expect(latency.count == 1)
      #expect(waited < 120, "\(waited) ms for one page; the storm took \(all) ms")
    }
  }

  @Test(
    "a fault on a page of a fill that no worker has begun does not wait for the fill's turn",
    arguments: ["anon", "shmem"])
  func promoted(_ kind: String) async {
    await #expect(processExitsWith: .success) { [kind] in
      let scene = try Scene(.perInstance, .with { $0.faultAround = .off })
      let instance = try scene.open(MemoryKind(rawValue: kind)!, granules: 2000)
      let region = try instance.map()
      // The first piece is under way, the second one queued.
      scene.state[\.gate_pgoff] = 0 + 1
      let fill = try region.fillInBackground()
      #expect(scene.state.wait(for: \.gate_reached, atLeast: 1))
      scene.state[\.delay_us] = 50_000
      let end = Mutex<UInt64>(0)
      let first = try inBackground {
        if !region.holdsContent(70) { abort() }
        end.withLock { $0 = monotonicNanoseconds() }
      }
      #expect(eventually { scene.host.statistics.faults.total == 1 })
      usleep(5_000)
      let others = try (0..<16 as Range<UInt64>).map { index in
        try inBackground { if !region.holdsContent(1_900 + index) { abort() } }
      }
      #expect(eventually { scene.host.statistics.faults.total == 17 })
      let before = monotonicNanoseconds()
      scene.state[\.gate_open] = 1
      first.join()
      let waited = (end.withLock { $0 } - before) / 1_000_000
      #expect(waited < 250, "\(waited) ms, at 50 ms for an answer")
      for thread in others { thread.join() }
      scene.state[\.delay_us] = 0
      fill.wait()
      #expect(region.difference() == -1)
      #expect(scene.state[\.bad_adds] == 0 && scene.state[\.bad_removes] == 0)
    }
  }
}

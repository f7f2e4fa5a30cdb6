// SPDX-License-Identifier: Apache-2.0
// What the kernel does not answer on demand, from a call table: each
// errno ends as the playbook says, without a busy loop and without a thread that sleeps for ever.

import CLinux
import FaultInjection
import Glibc
import Testing

@testable import UffdHost

@Suite(
  "Injected answers of the kernel",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct ErrnoTests {
  private static func scene(
    _ table: TestTable = .parallel, readers: Int = 1,
    deadline: UInt64 = 10_000_000_000
  ) throws -> Scene {
    GuardedAccess.install()
    return try Scene(
      table,
      .with {
        $0.readers = readers
        $0.faultDeadlineNanoseconds = deadline
        // Each answer is for one page.
        $0.faultAround = .off
        $0.tuning.calls = unsafe UffdCallTable(UnsafeRawPointer(fault_injection_table()!))
      })
  }

  @Test("EAGAIN without progress, then success: parked with a timer, little CPU")
  func putOff() async {
    await #expect(processExitsWith: .success) {
      let scene = try Self.scene()
      for kind in [MemoryKind.anon, .shmem] {
        let region = try scene.open(kind, granules: 8).map()
        let answered = fault_answered(FAULT_CALL_COPY)
        fault_inject(FAULT_CALL_COPY, 100, EAGAIN, 0)
        let cpu = cpuNanoseconds()
        let started = monotonicNanoseconds()
        #expect(region.holdsContent(3))
        let elapsed = monotonicNanoseconds() - started
        let used = cpuNanoseconds() - cpu
        #expect(fault_answered(FAULT_CALL_COPY) == answered + 100)
        #expect(elapsed > 200_000_000, "\(elapsed) ns for 100 tries: the back-off does not grow")
        #expect(used < elapsed / 4, "\(used) ns of CPU in \(elapsed) ns")
        #expect(region.difference() == -1)
      }
      #expect(scene.state[\.adds] - scene.state[\.removes] == 8)
      #expect(scene.state[\.bad_adds] == 0 && scene.state[\.bad_removes] == 0)
    }
  }

  @Test("EAGAIN of ZEROPAGE, CONTINUE and POISON is put off in the same way")
  func otherCalls() async {
    await #expect(processExitsWith: .success) {
      let scene = try Self.scene(deadline: 300_000_000)
      scene.state[\.holes] = 2
      let instance = try scene.open(.shmem, granules: 8)
      let region = try instance.map()
      fault_inject(FAULT_CALL_ZERO, 5, EAGAIN, 0)
      #expect(region.isZero(1))
      #expect(fault_answered(FAULT_CALL_ZERO) == 5)
      try instance.publish(firstGranule: 2, count: 1)
      fault_inject(FAULT_CALL_CONTINUE, 5, EAGAIN, 0)
      #expect(region.holdsContent(2))
      #expect(fault_answered(FAULT_CALL_CONTINUE) == 5)
      // POISON is put off past the deadline of its fault: still no busy loop.
      scene.state[\.fail_pgoff] = 4 + 1
      scene.state[\.fail_status] = 6
      scene.state[\.fail_times] = .max
      fault_inject(FAULT_CALL_POISON, 120, EAGAIN, 0)
      let cpu = cpuNanoseconds()
      let started = monotonicNanoseconds()
      #expect(region.signal(4) == SIGBUS)
      let elapsed = monotonicNanoseconds() - started
      let used = cpuNanoseconds() - cpu
      #expect(fault_answered(FAULT_CALL_POISON) == 120)
      #expect(elapsed > 300_000_000, "\(elapsed) ns")
      #expect(used < elapsed / 4, "\(used) ns of CPU in \(elapsed) ns")
      #expect(scene.host.statistics.givenUp == 1)
    }
  }

  @Test("a discarded page whose zeroes are put off past the deadline still waits by its timer")
  func zeroesPastTheDeadline() async {
    await #expect(processExitsWith: .success) {
      let scene = try Self.scene(deadline: 50_000_000)
      let region = try scene.open(.anon, granules: 8).map()
      #expect(region.advise(2, 1, MADV_DONTNEED) == 0)
      fault_inject(FAULT_CALL_ZERO, 150, EAGAIN, 0)
      let cpu = cpuNanoseconds()
      let started = monotonicNanoseconds()
      #expect(region.isZero(2))
      let elapsed = monotonicNanoseconds() - started
      let used = cpuNanoseconds() - cpu
      #expect(fault_answered(FAULT_CALL_ZERO) == 150)
      #expect(elapsed > 300_000_000, "\(elapsed) ns for 150 tries")
      #expect(used < elapsed / 4, "\(used) ns of CPU in \(elapsed) ns")
    }
  }

  @Test("EAGAIN with progress: what is done counts, the rest goes on at once")
  func partial() async {
    await #expect(processExitsWith: .success) {
      let scene = try Self.scene()
      for kind in [MemoryKind.anon, .shmem] {
        let instance = try scene.open(kind, granules: 64)
        let region = try instance.map()
        let answered = fault_answered(FAULT_CALL_COPY)
        fault_inject_partial(FAULT_CALL_COPY, 3, 4096)
        try region.drain()
        #expect(fault_answered(FAULT_CALL_COPY) == answered + 3)
        #expect(region.difference() == -1)
        #expect(try instance.settledStatistics().putOff == 0)
      }
      #expect(scene.state[\.answered] == 128, "content was fetched again")
      #expect(scene.state[\.bad_adds] == 0 && scene.state[\.removes] == 0)
    }
  }

  @Test("ENOENT on a run splits it; on a single page it is woken and asked again")
  func noEntry() async {
    await #expect(processExitsWith: .success) {
      let scene = try Self.scene()
      for kind in [MemoryKind.anon, .shmem] {
        let instance = try scene.open(kind, granules: 128)
        let region = try instance.map()
        fault_inject(FAULT_CALL_COPY, .max, ENOENT, 4096)
        let calls = fault_calls(FAULT_CALL_COPY)
        let client = try inBackground {
          if unsafe client_verify(region.start, 0, 64 * 4096, 1, 4096, 8) != 0 { abort() }
        }
        client.join()
        try region.drain()
        #expect(fault_calls(FAULT_CALL_COPY) - calls >= 128)
        #expect(region.difference() == -1)
        fault_inject(FAULT_CALL_COPY, 0, 0, 0)
        // A single page: the thread is woken, and its next message tells the truth.
        let other = try instance.map(.with { $0.sharing = .private })
        fault_inject(FAULT_CALL_COPY, kind == .anon ? 3 : 0, ENOENT, 0)
        fault_inject(FAULT_CALL_CONTINUE, kind == .anon ? 0 : 3, ENOENT, 0)
        #expect(other.holdsContent(7))
        fault_inject(FAULT_CALL_CONTINUE, 0, 0, 0)
      }
    }
  }

  @Test("ENOMEM passes: tried again; ENOMEM for ever: poisoned, and the others go on")
  func noMemory() async {
    await #expect(processExitsWith: .success) {
      let scene = try Self.scene()
      for kind in [MemoryKind.anon, .shmem] {
        let region = try scene.open(kind, granules: 8).map()
        fault_inject(FAULT_CALL_COPY, 2, ENOMEM, 0)
        #expect(region.holdsContent(1))
        fault_inject(FAULT_CALL_COPY, .max, ENOMEM, 0)
        let started = monotonicNanoseconds()
        #expect(region.signal(2) == SIGBUS)
        #expect(monotonicNanoseconds() - started < 8_000_000_000)
        fault_inject(FAULT_CALL_COPY, 0, 0, 0)
        #expect(region.holdsContent(3))
        #expect(region.signal(2) == SIGBUS)
      }
      #expect(scene.state[\.adds] - scene.state[\.removes] == 2)
      #expect(scene.state[\.bad_adds] == 0 && scene.state[\.bad_removes] == 0)
    }
  }

  @Test("EFAULT from lent memory is the provider's page, from our own it is woken; EIO poisons")
  func badSource() async {
    await #expect(processExitsWith: .success) {
      let scene = try Self.scene()
      let region = try scene.open(.anon, granules: 16, ("lend", "1")).map()
      scene.state[\.answer] = UInt64(TEST_ANSWER_LENT.rawValue)
      fault_inject(FAULT_CALL_COPY, 1, EFAULT, 0)
      #expect(region.signal(1) == SIGBUS)
      #expect(region.holdsContent(2))
      fault_inject(FAULT_CALL_COPY, 1, EIO, 0)
      #expect(region.signal(3) == SIGBUS)
      scene.state[\.answer] = 0
      // Beyond the end of a file, says our staging: the thread looks again.
      fault_inject(FAULT_CALL_COPY, 2, EFAULT, 0)
      #expect(region.holdsContent(4))
      // Our own mistake: given up, not tried for ever.
      fault_inject(FAULT_CALL_COPY, 1, EINVAL, 0)
      #expect(region.signal(5) == SIGBUS)
      #expect(scene.state[\.lends] == scene.state[\.puts])
      #expect(scene.host.statistics.givenUp == 3)
    }
  }

  @Test("ESRCH: nobody is left to serve; the question ends")
  func gone() async {
    await #expect(processExitsWith: .success) {
      let scene = try Self.scene()
      let instance = try scene.open(.shmem, granules: 8)
      let region = try instance.map()
      fault_inject(FAULT_CALL_COPY, .max, ESRCH, 0)
      let sleeper = try inBackground { _ = region.signal(1) }
      #expect(eventually { fault_answered(FAULT_CALL_COPY) > 0 })
      #expect(eventually { scene.host.statistics.parkedNow == 0 })
      let answered = fault_answered(FAULT_CALL_COPY)
      usleep(100_000)
      #expect(fault_answered(FAULT_CALL_COPY) == answered, "a dead client is served on and on")
      fault_inject(FAULT_CALL_COPY, 0, 0, 0)
      // Here the client lives after all; a detach wakes it.
      region.detach()
      sleeper.join()
      try instance.close()
      #expect(scene.state[\.adds] == scene.state[\.removes])
    }
  }

  @Test(
    "a kernel that offers POISON and refuses it: the client is killed, never left to read zeroes")
  func noPoison() async {
    await #expect(processExitsWith: .signal(SIGKILL)) {
      let scene = try Self.scene()
      let region = try scene.open(.anon, granules: 8).map()
      fault_inject(FAULT_CALL_POISON, .max, EINVAL, 0)
      scene.state[\.fail_pgoff] = 2 + 1
      scene.state[\.fail_status] = 6
      scene.state[\.fail_times] = .max
      _ = region.load(2)
      abort()
    }
  }

  @Test("EEXIST on hugetlb with no page there is an empty pool: tried again, then poisoned")
  func hugetlbExists() async throws {
    try Machine.needHugePages()
    await #expect(processExitsWith: .success) {
      let scene = try Self.scene()
      let instance = try scene.open(.hugetlb, granules: 4, granule: 2 << 20)
      for sharing in [Sharing.shared, .private] {
        let region = try instance.map(
          .with {
            $0.sharing = sharing
            $0.fill = sharing == .shared ? .backing : .mapping
          })
        fault_inject(FAULT_CALL_COPY, 2, EEXIST, 0)
        #expect(region.holdsContent(0), "\(sharing)")
        fault_inject(FAULT_CALL_COPY, .max, EEXIST, 0)
        #expect(region.signal(1) == SIGBUS, "\(sharing)")
        fault_inject(FAULT_CALL_COPY, 0, 0, 0)
        #expect(region.holdsContent(2), "\(sharing)")
        #expect(region.signal(1) == SIGBUS)
      }
    }
  }

  @Test("EEXIST on other memory: the page is there, its thread is woken", arguments: [1, 3])
  func exists(_ readers: Int) async {
    await #expect(processExitsWith: .success) { [readers] in
      let scene = try Self.scene(readers: readers)
      let region = try scene.open(.anon, granules: 8).map()
      let wakes = fault_calls(FAULT_CALL_WAKE)
      fault_inject(FAULT_CALL_COPY, 1, EEXIST, 0)
      // Nothing is there in truth: the thread is woken, and what it asks for anew must never be the old
      // bytes of a page that somebody may have given back.
      #expect(region.isZero(2))
      #expect(fault_calls(FAULT_CALL_WAKE) > wakes)
      #expect(region.holdsContent(3))
    }
  }

  @Test("a REMOVE behind the fault in one read is applied before the fault is looked at")
  func removeBehindFault() async {
    await #expect(processExitsWith: .success) {
      let scene = try Self.scene()
      for kind in [MemoryKind.anon, .shmem] {
        let instance = try scene.open(kind, granules: 8)
        let region = try instance.map()
        fault_inject_remove(1)
        #expect(region.isZero(2), "old bytes in a page that was given back")
        #expect(try instance.settledStatistics().discarded >= 1)
        #expect(region.holdsContent(3))
      }
    }
  }
}

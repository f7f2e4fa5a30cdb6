// SPDX-License-Identifier: Apache-2.0
// A prefetch that meets trouble: providers that fail, hang or lie,
// memory that is given back or taken away. Whatever it meets, it leaves the page to whoever touches it.

import FaultInjection
import Glibc
import Testing
import UffdPluginABI

@testable import UffdHost

@Suite(
  "Prefetch in trouble",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct PrefetchFailureTests {
  @Test(
    "pages that cannot be had are left alone, and nothing is poisoned until somebody touches them",
    arguments: ["anon", "shmem s", "shmem b"], [TestTable.parallel, .blocking, .perInstance])
  func failing(_ what: String, _ table: TestTable) async {
    await #expect(processExitsWith: .success) { [what, table] in
      let scene = try Scene(table)
      GuardedAccess.install()
      let (_, region) = try DiscardTests.make(scene, what)
      scene.state[\.most] = 1
      scene.state[\.fail_pgoff] = 5 + 1
      scene.state[\.fail_status] = UInt64(uffd_status.gone.rawValue)
      scene.state[\.fail_times] = .max
      let prefetch = try region.prefetch([0..<16])
      prefetch.wait()
      let progress = prefetch.progress
      #expect(progress.isFinished && progress.left > 0 && progress.filled + progress.left == 16)
      let statistics = scene.host.statistics
      #expect(statistics.givenUp == 0 && statistics.installed.poisoned == 0, "\(statistics)")
      #expect(region.poisonedBytes == 0)
      // A fault is another matter.
      #expect(region.signal(5) == SIGBUS)
      for index in 0..<16 as Range<UInt64> where index != 5 { #expect(region.holdsContent(index)) }
    }
  }

  @Test(
    "trouble that passes costs a prefetch its pages, and a fault nothing",
    arguments: [uffd_status.noMemory, .ioError].map(\.rawValue))
  func passing(_ status: UInt32) async {
    await #expect(processExitsWith: .success) { [status] in
      let scene = try Scene()
      let region = try scene.open(.shmem, granules: 64).map()
      scene.state[\.fail_pgoff] = .max
      scene.state[\.fail_status] = UInt64(status)
      scene.state[\.fail_times] = .max
      let prefetch = try region.prefetch([0..<64])
      prefetch.wait()
      #expect(prefetch.progress.left == 64)
      // Three pieces, none of which is tried again: a fault is, for half a second.
      #expect(scene.state[\.allocs] == 3)
      scene.state[\.fail_times] = 0
      #expect(region.difference() == -1)
    }
  }

  @Test("a provider that says BUSY is asked again, and kicked")
  func busy() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let region = try scene.open(.anon, granules: 640).map()
      scene.state[\.busy_pgoff] = .max
      scene.state[\.busy_times] = 7
      scene.state[\.kick_first] = 1
      let prefetch = try region.prefetch([0..<640])
      prefetch.wait()
      #expect(prefetch.progress.filled == 640)
      #expect(scene.state[\.busies] == 7)
      #expect(scene.host.statistics.faults.total == 0)
      #expect(region.difference() == -1)
    }
  }

  @Test("a hook that hangs costs a fault on another page nothing, and the region can go")
  func hanging() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.blocking, .with { $0.faultDeadlineNanoseconds = 2_000_000_000 })
      let instance = try scene.open(.anon, granules: 6400)
      let region = try instance.map()
      scene.state[\.most] = 1
      scene.state[\.gate_pgoff] = 3 + 1
      let prefetch = try region.prefetch([0..<64, 3000..<3064])
      #expect(scene.state.wait(for: \.gate_reached, atLeast: 1))
      #expect(region.holdsContent(5000))
      // The piece is given up long before the deadline of a fault; the hook still hangs.
      #expect(eventually(seconds: 5) { prefetch.progress.isFinished })
      #expect(prefetch.progress.left >= 1)
      #expect(region.poisonedBytes == 0)
      scene.state[\.gate_open] = 1
      #expect(region.difference() == -1)
      region.detach()
      try instance.close()
    }
  }

  @Test("an answer that breaks the contract closes the instance, and poisons nothing by itself")
  func lying() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      GuardedAccess.install()
      let instance = try scene.open(.anon, granules: 64)
      let region = try instance.map()
      scene.state[\.fail_pgoff] = 9 + 1
      scene.state[\.fail_status] = 77
      scene.state[\.fail_times] = .max
      let prefetch = try region.prefetch([0..<64])
      prefetch.wait()
      #expect(prefetch.progress.left > 0)
      #expect(region.poisonedBytes == 0)
      // Whether a wrong answer to a hint is told or not: nobody gets wrong bytes.
      for index in 0..<64 as Range<UInt64> where region.signal(index) == 0 {
        #expect(region.holdsContent(index))
      }
    }
  }

  @Test("detached in the middle: it ends, and what workers bring is undone")
  func detached() async {
    await #expect(processExitsWith: .success) {
      for table in [TestTable.parallel, .blocking, .serial] {
        let scene = try Scene(table)
        let instance = try scene.open(.shmem, granules: 100_000)
        let region = try instance.map()
        scene.state[\.delay_us] = 200
        let prefetch = try region.prefetch([0..<100_000])
        #expect(scene.state.wait(for: \.allocs, atLeast: 2))
        region.detach()
        prefetch.wait()
        #expect(prefetch.progress.isFinished && prefetch.progress.done < 100_000)
        scene.state[\.delay_us] = 0
        try instance.close()
        #expect(scene.state[\.bad_adds] == 0 && scene.state[\.bad_removes] == 0)
      }
    }
  }

  @Test("drained in the middle: all of it is there")
  func drained() async {
    await #expect(processExitsWith: .success) {
      for readers in [1, 3] {
        let scene = try Scene(.parallel, .with { $0.readers = readers })
        let region = try scene.open(.shmem, granules: 20_000).map()
        let prefetch = try region.prefetch([0..<20_000])
        try region.drain()
        prefetch.wait()
        #expect(region.difference() == -1)
        #expect(scene.host.statistics.faults.total == 0)
      }
    }
  }

  @Test(
    "what is given back meanwhile is never filled again",
    arguments: ["anon", "shmem b", "shmem m"], [TestTable.parallel, .blocking])
  func discards(_ what: String, _ table: TestTable) async {
    await #expect(processExitsWith: .success) { [what, table] in
      for readers in [1, 3] {
        let scene = try Scene(table, .with { $0.readers = readers })
        let words = what.split(separator: " ").map(String.init)
        let instance = try scene.open(MemoryKind(rawValue: words[0])!, granules: 4000)
        let region = try instance.map(
          .with {
            $0.sharing = .private
            $0.fill = words.last == "m" ? .mapping : .backing
          })
        let prefetch = try region.prefetch([0..<4000])
        // Before, while and after their pages come.
        for index in stride(from: 3999, to: 0, by: -3) as StrideTo<Int> {
          #expect(region.advise(UInt64(index), 1, MADV_DONTNEED) == 0)
        }
        prefetch.wait()
        for index in stride(from: 3999, to: 0, by: -3) as StrideTo<Int> {
          #expect(region.isZero(UInt64(index)), "\(what), \(readers) readers: granule \(index)")
        }
        for index in stride(from: 1, to: 4000, by: 3) as StrideTo<UInt64> {
          #expect(region.holdsContent(index))
        }
      }
    }
  }

  @Test("an address space that changes is waited for")
  func changing() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(
        .parallel,
        .with { $0.tuning.calls = unsafe UffdCallTable(UnsafeRawPointer(fault_injection_table()!)) }
      )
      let region = try scene.open(.anon, granules: 256).map()
      fault_inject(FAULT_CALL_COPY, 5, EAGAIN, 0)
      let prefetch = try region.prefetch([0..<256])
      prefetch.wait()
      #expect(prefetch.progress.filled == 256)
      #expect(fault_answered(FAULT_CALL_COPY) == 5)
      #expect(region.difference() == -1)
      #expect(scene.host.statistics.faults.total == 0)
    }
  }

  @Test("whatever the kernel answers to a prefetch, a fault finds it right")
  func refusals() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(
        .parallel,
        .with { $0.tuning.calls = unsafe UffdCallTable(UnsafeRawPointer(fault_injection_table()!)) }
      )
      for error in [ENOMEM, ENOENT, EFAULT, EEXIST, EINVAL, EIO] {
        let instance = try scene.open(.anon, granules: 64)
        let region = try instance.map()
        fault_inject(FAULT_CALL_COPY, 2, error, 0)
        let prefetch = try region.prefetch([0..<64])
        prefetch.wait()
        #expect(prefetch.progress.done == 64, "\(error)")
        fault_inject(FAULT_CALL_COPY, 0, 0, 0)
        #expect(region.poisonedBytes == 0, "\(error)")
      }
      #expect(scene.host.statistics.givenUp == 0)
    }
  }
}

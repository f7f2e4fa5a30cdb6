// SPDX-License-Identifier: Apache-2.0
// The one exclusion, on the real kernel: without it a client reads the
// provider's old bytes in pages that it has just given back; with it, never.

import CLinux
import FaultInjection
import Glibc
import Testing

@testable import UffdHost

@Suite(
  "The exclusion on the real kernel", .serialized,
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct StaleTests {
  private static let rounds: UInt64 = 20_000

  /// Rounds in which a page read other than zero right after MADV_DONTNEED had returned. The time between
  /// the last look at a page's state and its COPY is a few hundred nanoseconds in our code; the call table
  /// makes it `delay` longer, so that a few thousand rounds show what else takes many.
  private static func stale(readers: Int, isBroken: Bool, delay: UInt64) throws -> UInt64 {
    fault_delay_copy(delay)
    let scene = try Scene(
      .parallel, seconds: 100,
      .with {
        $0.readers = readers
        // Every round is about a page that is being filled.
        $0.faultAround = .off
        $0.tuning.isExclusionBroken = isBroken
        $0.tuning.calls = unsafe UffdCallTable(UnsafeRawPointer(fault_injection_table()!))
      })
    let region = try scene.open(.anon, granules: rounds).map()
    return unsafe client_discard_race(region.start, 0, rounds)
  }

  @Test("without it the corruption shows")
  func broken() async {
    await #expect(processExitsWith: .success) {
      let stale = try Self.stale(readers: 2, isBroken: true, delay: 20_000)
      #expect(stale > 0, "no stale page in \(Self.rounds) rounds: this test shows nothing any more")
    }
  }

  @Test(
    "pages that are given back while a reader takes along",
    arguments: [TestTable.parallel, .blocking, .serial], [1, 2])
  func windows(_ table: TestTable, _ readers: Int) async {
    await #expect(processExitsWith: .success) { [table, readers] in
      let scene = try Scene(table, .with { $0.readers = readers })
      if table != .parallel { scene.state[\.delay_us] = 300 }
      for (memory, fill) in [
        ("anon", FillTarget.mapping), ("shmem", .backing), ("shmem", .mapping),
      ] {
        let instance = try scene.open(MemoryKind(rawValue: memory)!, granules: 10_000)
        let region = try instance.map(
          .with {
            $0.sharing = .private
            $0.fill = fill
          })
        #expect(unsafe client_window_race(region.start, 10_000, 1) == 0, "\(memory) \(fill)")
        let end = try instance.settledStatistics()
        #expect(end.installedAround > 5_000 && end.givenUp == 0, "\(end)")
        region.detach()
      }
      #expect(scene.state[\.bad_adds] == 0 && scene.state[\.bad_removes] == 0)
    }
  }

  @Test("with it, in the same number of rounds, none", arguments: [1, 2, 4])
  func excluded(_ readers: Int) async {
    await #expect(processExitsWith: .success) { [readers] in
      let stale = try Self.stale(readers: readers, isBroken: false, delay: 20_000)
      #expect(stale == 0, "\(stale) stale pages")
    }
  }
}

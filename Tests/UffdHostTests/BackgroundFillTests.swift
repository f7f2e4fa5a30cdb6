// SPDX-License-Identifier: Apache-2.0
// Filling everything beside the faults, at a rate that is kept, and never at the cost of whoever waits.

import FaultInjection
import Glibc
import Testing
import UffdPluginABI

@testable import UffdHost

@Suite(
  "Background fill",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct BackgroundFillTests {
  @Test(
    "N bytes at a rate of R take N / R", arguments: [TestTable.parallel, .blocking, .serial],
    [1, 2])
  func rate(_ table: TestTable, _ readers: Int) async {
    await #expect(processExitsWith: .success) { [table, readers] in
      let scene = try Scene(
        table,
        .with {
          $0.fillRate = 8 << 20
          $0.readers = readers
        })
      scene.state[\.answer] = table == .parallel ? 2 : 0
      let instance = try scene.open(.anon, granules: 2048, granule: 4096, ("lend", "1"))
      let region = try instance.map()
      let fill = try region.fillInBackground()
      fill.wait()
      let seconds = Double(fill.elapsedNanoseconds) / 1e9
      // The slack and the last piece go for nothing; how late a timer is depends on the machine.
      #expect(seconds > 0.9 && seconds < 5, "\(seconds) s for 8 MiB")
      #expect(fill.progress.filled == 2048 && fill.progress.total == 2048)
      #expect(region.difference() == -1)
      #expect(try instance.settledStatistics().faults.total == 0)
    }
  }

  @Test("a source is read no faster than the fill comes after it")
  func source() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.parallel, .with { $0.fillRate = 1 << 20 })
      scene.state[\.answer] = 2
      // 64 MiB, of which a minute's worth would be announced at once.
      let instance = try scene.open(.anon, granules: 16384, granule: 4096, ("lend", "1"))
      let region = try instance.map()
      let fill = try region.fillInBackground()
      #expect(eventually { fill.progress.filled > 200 })
      let seen = fill.progress.filled
      let warmed = scene.state[\.warms]
      #expect(warmed > 0 && warmed < seen + (20 << 20) / 4096, "\(warmed) granules announced")
      region.detach()
      #expect(eventually { fill.progress.isFinished })
      try instance.close()
    }
  }

  @Test("faults are not held back by the rate", arguments: [TestTable.parallel, .blocking])
  func demand(_ table: TestTable) async {
    await #expect(processExitsWith: .success) { [table] in
      let scene = try Scene(
        table,
        .with {
          $0.fillRate = 64 << 10
          $0.faultAround = .off
        })
      let instance = try scene.open(.anon, granules: 100_000)
      let region = try instance.map()
      let fill = try region.fillInBackground()
      let before = monotonicNanoseconds()
      // Two minutes of the rate.
      for index in 50_000..<52_000 as Range<UInt64> { #expect(region.holdsContent(index)) }
      let seconds = Double(monotonicNanoseconds() - before) / 1e9
      #expect(seconds < 60, "\(seconds) s")
      let progress = fill.progress
      #expect(!progress.isFinished && progress.filled < 2000, "\(progress)")
      // What nobody waits for does not hold up who lets the region go either.
      region.detach()
      #expect(eventually { fill.progress.isFinished })
      try instance.close()
    }
  }

  @Test("what is listed is filled before everything else")
  func order() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.parallel, .with { $0.fillRate = 4 << 20 })
      let instance = try scene.open(.anon, granules: 20_000)
      let region = try instance.map()
      let rest = try region.fillInBackground()
      let listed = try region.prefetch([10_000..<10_500])
      listed.wait()
      #expect(listed.progress.filled == 500)
      #expect(rest.progress.filled < 250, "\(rest.progress)")
      region.detach()
    }
  }

  @Test("a drain is not held back")
  func drained() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.parallel, .with { $0.fillRate = 4096 })
      let instance = try scene.open(.anon, granules: 5000)
      let region = try instance.map()
      let fill = try region.fillInBackground()
      let before = monotonicNanoseconds()
      try region.drain()
      #expect(monotonicNanoseconds() - before < 60_000_000_000)
      #expect(region.difference() == -1)
      fill.wait()
    }
  }

  @Test("a reader that waits for the rate sleeps")
  func idle() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.parallel, .with { $0.fillRate = 4096 })
      let instance = try scene.open(.anon, granules: 5000)
      let region = try instance.map()
      let fill = try region.fillInBackground()
      #expect(eventually { fill.progress.filled > 0 })
      let before = cpuNanoseconds()
      usleep(1_000_000)
      #expect(cpuNanoseconds() - before < 100_000_000)
      region.detach()
    }
  }

  @Test(
    "clients are filled whatever they do, and so are their children",
    arguments: [
      HANDED_WAIT, HANDED_DISCARD, HANDED_MOVE, HANDED_DONTUNMAP, HANDED_GROW, HANDED_FORK,
    ].map(\.rawValue), [0, 20 << 20] as [UInt64])
  func clients(_ scenario: Int32, _ rate: UInt64) async {
    await #expect(processExitsWith: .success) { [scenario, rate] in
      let scene = try Scene(.parallel, .with { $0.fillRate = rate })
      let pages: UInt64 = 1000
      let instance = try scene.openForClients(pages: pages)
      let scenario = handed_scenario(rawValue: scenario)
      for delay in [0, 2000] as [UInt32] {
        let handed = try Handed(instance, scenario, pages: pages)
        handed.client.fillInBackground()
        usleep(delay)
        handed.go()
        if scenario == HANDED_WAIT {
          #expect(eventually { handed.client.progress.missingBytes == 0 })
          let fill = try #require(handed.client.progress.fill)
          #expect(eventually { handed.client.progress.fill?.isFinished == true })
          #expect(fill.totalBytes == pages * 4096 && fill.leftBytes == 0)
          if rate > 0 { #expect(fill.nanoseconds > 100_000_000, "\(fill)") }
          handed.go()
        }
        #expect(handed.wait() == 0, "the line of handed.c less one")
        #expect(handed.end() == .gone)
        #expect(handed.client.progress.statistics.givenUp == 0)
        if scenario == HANDED_WAIT { #expect(handed.client.progress.statistics.faults.total == 0) }
      }
      #expect(eventually { (try? instance.close()) != nil })
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// Faults that one read(2) brings: those on one page and on its neighbours become one install.

import CLinux
import FaultInjection
import Glibc
import Testing

@testable import UffdHost

@Suite(
  "Faults of one batch", .serialized,
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct BatchTests {
  @Test("threads on one page and on the pages beside it are served by one COPY")
  func merged() async {
    await #expect(processExitsWith: .success) {
      // The reader is busy with one page while the others are touched.
      fault_delay_copy(30_000_000)
      let scene = try Scene(
        .parallel, seconds: 100,
        .with {
          $0.faultAround = .off
          $0.tuning.calls = unsafe UffdCallTable(UnsafeRawPointer(fault_injection_table()!))
        })
      let rounds: UInt64 = 20
      let instance = try scene.open(.anon, granules: rounds * 16)
      let region = try instance.map()
      // Twice the middle, both neighbours, one page behind those, and one far from them, in this order.
      let pages: [UInt64] = [3, 3, 2, 4, 5, 10]
      var merged = 0
      for round in 0..<rounds {
        let base = unsafe region.start + Int(round * 16 * 4096)
        let before = fault_calls(FAULT_CALL_COPY)
        let start = UInt64(UInt(bitPattern: base))
        func touch(_ page: UInt64) throws -> KernelThread {
          try KernelThread("toucher") {
            _ = unsafe GuardedAccess.touch(
              UnsafeMutableRawPointer(bitPattern: UInt(start + page * 4096))!)
          }
        }
        let first = try touch(15)
        sleepNanoseconds(5_000_000)
        let others = try pages.map(touch)
        for thread in [first] + others { thread.join() }
        let copies = fault_calls(FAULT_CALL_COPY) - before
        #expect(copies >= 3, "page 15, the run and page 10 lie apart: \(copies) COPYs")
        if copies == 3 { merged += 1 }
        for page in [15, 3, 2, 4, 5, 10] as [UInt64] {
          let offset = round * 16 + page
          #expect(
            unsafe client_first_difference(base + Int(page * 4096), offset * 4096, 4096, 1) == -1)
        }
      }
      #expect(merged > 0, "not once in \(rounds) rounds")
      let statistics = try instance.settledStatistics()
      #expect(statistics.installed.copied == rounds * 6 * 4096, "\(statistics)")
      #expect(statistics.alreadyPresent > 0)
    }
  }
}

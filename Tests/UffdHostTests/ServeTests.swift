// SPDX-License-Identifier: Apache-2.0
// Faults on the real kernel: every way in which content reaches a page, and that every byte is right.

import FaultInjection
import Testing

@testable import UffdHost

@Suite(
  "Serving", .serialized,
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct ServeTests {
  @Test(
    "8 threads read every byte right, whatever the provider's way to answer",
    arguments: ["staged", "lent", "may-fault", "arena", "holes"], [1, 3])
  func answers(_ way: String, _ readers: Int) async {
    await #expect(processExitsWith: .success) { [way, readers] in
      let scene = try Scene(.parallel, .with { $0.readers = readers })
      scene.state[\.answer] =
        ["lent": 1, "may-fault": 2, "arena": 4][way].map(UInt64.init) ?? 0
      if way == "holes" { scene.state[\.holes] = 4 }
      for kind in [MemoryKind.anon, .shmem] {
        let instance = try scene.open(kind, granules: 1021, ("lend", "1"))
        let region = try instance.map()
        if way == "holes" {
          for index in 0..<1021 as Range<UInt64> {
            #expect(index % 4 == 3 ? region.isZero(index) : region.holdsContent(index))
          }
        } else {
          let wrong = unsafe client_verify(region.start, 0, region.length, 1, 4096, 8)
          #expect(wrong == 0, "\(kind)")
        }
        region.detach()
        try instance.close()
      }
      #expect(scene.state[\.lends] == scene.state[\.puts])
      #expect(scene.state[\.bad_puts] == 0)
      #expect(scene.state[\.bad_adds] == 0)
      #expect(scene.host.statistics.providerViolations == 0)
      #expect(scene.host.statistics.givenUp == 0)
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// What a client asks for while something else of it is under way, and what it does far from the memory that it
// handed over.

import FaultInjection
import Synchronization
import Testing

@testable import UffdHost

@Suite(
  "Clients: changes",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct ClientChangeTests {
  @Test("whoever waits for a range to be let go is told when the client is left alone instead")
  func leftAlone() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.blocking)
      let instance = try scene.openForClients(pages: 64)
      let handed = try Handed(instance, HANDED_WAIT)
      handed.go()
      // A hook that hangs keeps its pages from being there.
      scene.state[\.gate_pgoff] = 1
      let answers = Mutex<[String?]>([])
      let region = try #require(handed.client.progress.regions.first)
      func remove() {
        handed.client.remove(start: region.start, length: region.length) { error in
          answers.withLock { $0.append(error?.message) }
        }
      }
      remove()
      #expect(scene.state.wait(for: \.gate_reached, atLeast: 1))
      #expect(answers.withLock { $0.isEmpty })
      handed.client.detach()
      remove()
      // One was under way, one came too late.
      #expect(
        answers.withLock { $0 } == [
          "it was left alone before that was filled", "it is left alone since it asked for that",
        ])
      scene.state[\.gate_open] = 1
      #expect(handed.client.progress.phase == .detached)
      #expect(handed.client.kill(Reporter({ _, _ in })))
      #expect(handed.end() == .gone)
    }
  }

  @Test(
    "memory that grew far beyond the object reads zero, whatever is known of the object's zeroes",
    arguments: [TestTable.extents, .extentsBlocking], [1, 2])
  func farBeyond(_ table: TestTable, _ readers: Int) async {
    await #expect(processExitsWith: .success) { [table, readers] in
      let scene = try Scene(table, .with { $0.readers = readers })
      let instance = try scene.openForClients(pages: 64)
      let handed = try Handed(instance, HANDED_FAR)
      handed.go()
      #expect(handed.wait() == 0, "the line of handed.c less one")
      #expect(handed.end() == .gone)
    }
  }
}

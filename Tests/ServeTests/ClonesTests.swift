// SPDX-License-Identifier: Apache-2.0
// One memfd of several clients, at one time or one after the other.
import TestSupport
import Testing

@Suite("Serve: clients of one memfd", .enabled(if: canServe, "userfaultfd cannot be used here"))
struct ClonesTests {
  @Test("a memfd that has grown since it was handed over is refused, and nobody else notices")
  func grown() async throws {
    let outcome = try await Service.of("shmem", object: 2 << 20).run { server in
      try await server.play("grown --memory shmem --dialect native --alarm 15")
      try await server.play("touch --bytes 1M --dialect native")
    }
    #expect(outcome.errors.contains("1048576 bytes when it was first handed over"))
  }

  @Test(
    "what a client that has ended left in the memfd is content for the next one",
    arguments: ["shmem", "hugetlb"], ["leave", "drain"])
  func successors(_ memory: String, _ mode: String) async throws {
    try needHugePages(memory, bytes: 16 << 20)
    try await Service.of(memory, object: 8 << 20).run { server in
      try await server.play(
        "successors --memory \(memory) --dialect native --clients 3 --mode \(mode) --alarm 20")
    }
  }
}

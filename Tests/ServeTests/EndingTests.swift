// SPDX-License-Identifier: Apache-2.0
// Clients that end, and servers that end.
import Glibc
import TestSupport
import Testing

@Suite("Serve: ends", .enabled(if: canServe, "userfaultfd cannot be used here"))
struct EndingTests {
  static let both = ["fc1.12", "native"]

  @Test("a session ends with exec, though its process lives on", arguments: both)
  func exec(_ dialect: String) async throws {
    try await Service.of("anon").run { server in
      let before = server.descriptors
      try await server.play("exec --seconds 30 --dialect \(dialect)", code: nil, signal: SIGKILL) {
        client in
        let isAnother = try await client.isNow("sleep")
        #expect(isAnother)
        // Its socket was closed by exec too, or by itself.
        try await server.expectDescriptors(before, "after exec")
        client.send(SIGKILL)
      }
    }
  }

  @Test("clients that are killed at random points", arguments: dialects)
  func kills(_ dialect: String) async throws {
    try await Service.of("anon").run { server in
      try await server.play("kill --rounds 40 --bytes 4M --dialect \(dialect)")
    }
    try await Service.slow("delay=2000").run { server in
      try await server.play("kill --rounds 20 --bytes 4M --dialect \(dialect)")
    }
  }

  @Test("a client that meets its memory limit", arguments: both)
  func memoryLimit(_ dialect: String) async throws {
    try await Service.of("anon").run { server in
      try await server.play("memcg --dialect \(dialect)")
    }
  }

  @Test("a file that is truncated under a sleeping thread")
  func truncated() async throws {
    try await Service.slow("delay=300000").run { server in
      try await server.play("truncated --memory shmem --bytes 64K")
    }
  }

  @Test("a backing that may shrink is refused")
  func unsealed() async throws {
    try await Service.of("shmem").run { server in
      try await server.play("unsealed --mode unsealed --memory shmem --dialect native")
    }
  }

  @Test("SIGTERM fills everything before the server goes", arguments: both, memories)
  func drained(_ dialect: String, _ memory: String) async throws {
    try needHugePages(memory)
    var service = Service.of(memory)
    service.isLeftAlone = true
    let outcome = try await service.run { server in
      try await server.play("drained --dialect \(dialect) --memory \(memory)") { client in
        try await server.endsOnceReady(client, SIGTERM)
      }
    }
    #expect(outcome.code == 0, "\(outcome.story)")
  }

  @Test("a second SIGTERM poisons what is missing", arguments: both)
  func hurried(_ dialect: String) async throws {
    var service = Service.slow("delay=100000")
    service.isLeftAlone = true
    let outcome = try await service.run { server in
      let report = try await server.play(
        "drained --mode poisoned --bytes 4M --dialect \(dialect)"
      ) { client in
        try await server.endsOnceReady(client, SIGTERM, SIGTERM)
      }
      #expect(report["signals"].number > 100)
    }
    #expect(outcome.code != nil, "\(outcome.story)")
  }

  @Test("the drain's time is over: what is missing is poisoned", arguments: both)
  func drainTimeout(_ dialect: String) async throws {
    var service = Service.slow("delay=100000")
    service.options = ["--drain-timeout", "1"]
    service.isLeftAlone = true
    try await service.run { server in
      let report = try await server.play(
        "drained --mode poisoned --bytes 4M --dialect \(dialect)"
      ) { client in
        try await server.endsOnceReady(client, SIGTERM)
      }
      #expect(report["signals"].number > 100)
    }
  }

  @Test("a server that is killed leaves a stall, not zeroes", arguments: both)
  func orphans(_ dialect: String) async throws {
    var service = Service.of("anon")
    service.isLeftAlone = true
    let outcome = try await service.run { server in
      try await server.play("orphan --bytes 4M --dialect \(dialect)") { client in
        try await server.endsOnceReady(client, SIGKILL)
      }
    }
    #expect(outcome.signal == SIGKILL)
  }
}

// SPDX-License-Identifier: Apache-2.0
// Hand-offs that are none: refused in time with one sentence, while a good client beside them is served.
import Foundation
import TestSupport
import Testing

@Suite("Serve: hostile hand-offs", .enabled(if: canServe, "userfaultfd cannot be used here"))
struct HostileTests {
  static let modes = [
    "no-descriptor", "pipe", "many-descriptors", "descriptor-flood", "unready", "dead", "closed",
    "silent",
    "endless", "cut-off", "noise", "false-regions", "slow", "twice",
  ]

  @Test("refused, and nobody else notices", arguments: modes, ["fc1.1", "fc1.12"])
  func refused(_ mode: String, _ dialect: String) async throws {
    var service = Service.of("anon")
    service.options = ["--handshake-timeout", "3"]
    // The memory of 'twice' is the first client's, which keeps its socket.
    if mode == "twice", dialect == "fc1.1" { return }
    let outcome = try await service.run { server in
      async let good: Void = { _ = try await server.play("quiet --clients 0 --seconds 1") }()
      try await server.play("hostile --mode \(mode) --bytes 64K --dialect \(dialect)")
      try await good
      try await server.play("touch --bytes 4M --dialect native")
    }
    if !["twice", "closed", "silent"].contains(mode) {
      #expect(outcome.errors.contains("refused"), "\(outcome.story)")
    }
  }
}

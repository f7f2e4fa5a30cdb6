// SPDX-License-Identifier: Apache-2.0
// Hand-offs that are none: refused in time with one sentence, while a good client beside them is served.
import Foundation
import Glibc
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

  @Test(
    "what is refused and cannot be kept is closed, or its process killed, as --on-error says",
    arguments: ["poison", "kill"])
  func unkept(_ onError: String) async throws {
    var service = Service.of("anon")
    service.options = ["--on-error", onError]
    let outcome = try await service.run { server in
      let signal = onError == "kill" ? SIGKILL : nil
      try await server.play(
        "hostile --mode many-uffds --bytes 64K --dialect fc1.12", code: signal == nil ? 0 : nil,
        signal: signal)
    }
    let fate = onError == "kill" ? "it is killed" : "is closed, for 4 of one process are kept"
    #expect(outcome.errors.contains(fate), "\(outcome.story)")
  }

  @Test("a userfaultfd that its client makes blocking keeps no reader from the others")
  func blocking() async throws {
    var service = Service.of("anon")
    service.options = ["--readers", "1"]
    let outcome = try await service.run { server in
      async let bad: Void = {
        try await server.play("blocking --seconds 3 --alarm 15 --dialect native")
      }()
      try await Task.sleep(for: .milliseconds(500))
      for _ in 0..<3 {
        try await server.play("quiet --clients 0 --seconds 1 --alarm 15")
        _ = try await server.status()
      }
      try await bad
    }
    #expect(outcome.errors.contains("has made its userfaultfd blocking"), "\(outcome.story)")
  }
}

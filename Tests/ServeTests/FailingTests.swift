// SPDX-License-Identifier: Apache-2.0
// Providers that fail: the policies, and that nobody else notices.
import Glibc
import TestSupport
import Testing

@Suite("Serve: failures", .enabled(if: canServe, "userfaultfd cannot be used here"))
struct FailureTests {
  static let both = ["fc1.12", "native"]

  private func failing(_ parameters: String, _ options: [String]) -> Service {
    var service = Service.slow(parameters)
    service.options = ["--deadline", "1"] + options
    service.mayComplain = true
    return service
  }

  @Test(
    "poison: SIGBUS for exactly the pages that cannot be had", arguments: both,
    ["bad=10 bad-count=5", "bad=10 bad-count=5 gone=1"])
  func poison(_ dialect: String, _ failure: String) async throws {
    try await failing(failure, []).run { server in
      let report = try await server.play(
        "poison --first-bad 10 --bad 5 --bytes 4M --dialect \(dialect)")
      #expect(report["signals"].number == 5 * 4 * 2)
      // Memory without such pages is none the worse.
      try await server.play("touch --offset 8M --bytes 4M --dialect \(dialect)")
    }
  }

  @Test("poison of a page whose answer never comes", arguments: both)
  func hang(_ dialect: String) async throws {
    try await failing("hang=10 hang-count=1", []).run { server in
      try await server.play("poison --first-bad 10 --bad 1 --bytes 4M --dialect \(dialect)")
    }
  }

  @Test("poison of huge pages", arguments: both)
  func hugePoison(_ dialect: String) async throws {
    try needHugePages("hugetlb")
    try await failing("granule=2M bad=1 bad-count=2", []).run { server in
      try await server.play("poison --first-bad 1 --bad 2 --memory hugetlb --dialect \(dialect)")
    }
  }

  @Test("hold: the thread sleeps, others are served", arguments: both)
  func hold(_ dialect: String) async throws {
    try await failing("bad=10 bad-count=5", ["--on-error", "hold"]).run { server in
      try await server.play(
        "asleep --first-bad 10 --bad 5 --seconds 3 --bytes 4M --dialect \(dialect)")
    }
  }

  @Test("status tells the client whose provider fails from the one whose provider is slow")
  func told() async throws {
    var service = failing("bad=10 bad-count=1 hang=1034 hang-count=1", [])
    service.options = ["--deadline", "100", "--on-error", "hold"]
    try await service.run { server in
      async let fails: Void = {
        _ = try await server.play(
          "asleep --first-bad 10 --bad 1 --seconds 30 --bytes 1M --alarm 120")
      }()
      async let waits: Void = {
        _ = try await server.play(
          "asleep --first-bad 1034 --bad 1 --seconds 30 --offset 4M --bytes 1M --alarm 120")
      }()
      // On a busy machine the one that fails is slow at first, and the slow one has other faults, too.
      var told: [String: JSONValue] = [:]
      func has(_ health: String, held: UInt64, parked: UInt64) -> Bool {
        told[health]?["held"] == .number(held) && told[health]?["parked"] == .number(parked)
      }
      let limit = ContinuousClock.now + .seconds(25)
      while ContinuousClock.now < limit,
        !has("failing", held: 1, parked: 0) || !has("slow", held: 0, parked: 1)
      {
        try await Task.sleep(for: .milliseconds(20))
        told = [:]
        for session in try await server.status()["sessions"].list ?? [] {
          told[session["health"].text ?? ""] = session["faults"]
        }
      }
      #expect(has("failing", held: 1, parked: 0), "\(told)")
      #expect(has("slow", held: 0, parked: 1), "\(told)")
      #expect((told["slow"]?["longest_wait_ns"].number ?? 0) >= 1_000_000_000)
      try await fails
      try await waits
    }
  }

  @Test("kill: that client, and no other", arguments: both)
  func kill(_ dialect: String) async throws {
    try await failing("bad=10 bad-count=5", ["--on-error", "kill"]).run { server in
      async let other: Void = {
        _ = try await server.play("quiet --clients 0 --offset 8M --bytes 8M")
      }()
      try await server.play(
        "poison --first-bad 10 --bad 5 --bytes 4M --dialect \(dialect)", code: nil, signal: SIGKILL)
      try await other
    }
  }

  @Test(
    "a full table of descriptors: who does not fit is refused, and all is well when there is room")
  func fewDescriptors() async throws {
    var service = Service.of("anon")
    service.mostDescriptors = 48
    service.mayComplain = true
    try await service.run { server in
      let before = server.descriptors
      try await server.play("crowd --clients 4 --bytes 1M --threads 2")
      // A client of ours is told, and ends; its crowd ends with it.
      try await server.play("crowd --clients 40 --bytes 64K --threads 2 --dialect native", code: 1)
      // There is room when the server has found out that they are gone, also those that still wait to be accepted.
      for _ in 0..<100 where try await server.settledDescriptors() != before {}
      #expect(server.descriptors == before)
      try await server.play("touch --bytes 4M --dialect native")
      // A fork waits until the server can take its descriptor.
      try await server.play("fork --bytes 1M --random 4")
    }
  }
}

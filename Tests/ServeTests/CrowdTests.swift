// SPDX-License-Identifier: Apache-2.0
// Many clients at once; a quiet one beside a storm; a virtual machine; a mixture of everything.
import TestSupport
import Testing

@Suite("Serve: crowds", .enabled(if: canServe, "userfaultfd cannot be used here"))
struct CrowdTests {
  @Test("64 clients at once", arguments: dialects, [1, 2])
  func crowd(_ dialect: String, _ readers: Int) async throws {
    var service = Service.of("anon")
    service.options = ["--readers", "\(readers)"]
    try await service.run { server in
      let report = try await server.play(
        "crowd --clients 64 --bytes 1M --threads 2 --dialect \(dialect)")
      #expect(report["rounds"].number == 64)
    }
  }

  /// A client whose turn did not come while others storm would wait for as long as they do. The bound is far above
  /// what is measured (docs/serving.md), for the machine's other load is no business of the test.
  @Test("a quiet client beside two that storm", arguments: ["fc1.12", "native"])
  func quiet(_ dialect: String) async throws {
    var service = Service.of("anon")
    // Each touch is a fault.
    service.options = ["--fault-around", "off"]
    try await service.run { server in
      let alone = try await server.play("quiet --clients 0 --seconds 1 --dialect \(dialect)")
      let beside = try await server.play("quiet --clients 2 --seconds 2 --dialect \(dialect)")
      #expect(beside["pages"].number > 50, "\(beside)")
      #expect(beside["p50_ns"].number < 50_000_000, "\(beside)")
      #expect(beside["p99_ns"].number < 500_000_000, "\(beside)")
      print(
        "\(dialect): a quiet client's touch takes p50 \(alone["p50_ns"].number) ns, p99 \(alone["p99_ns"].number) ns;",
        "beside two storms p50 \(beside["p50_ns"].number) ns, p99 \(beside["p99_ns"].number) ns")
    }
  }

  @Test(
    "a KVM guest adds up its memory", arguments: ["fc1.12", "native"], ["anon", "shmem", "hugetlb"])
  func guest(_ dialect: String, _ memory: String) async throws {
    try needHugePages(memory)
    try await Service.of(memory).run { server in
      try await server.play("kvm --bytes 8M --dialect \(dialect) --memory \(memory)")
    }
  }

  @Test("a soak of some seconds, with huge pages")
  func hugeSoak() async throws {
    try needHugePages("hugetlb", bytes: 96 << 20)
    try await Service.of("hugetlb", object: 32 << 20).run { server in
      let report = try await server.play(
        "soak --mode huge-pages --clients 4 --seconds 3 --alarm 60")
      #expect(report["rounds"].number > 2)
    }
  }

  @Test("a soak of some seconds")
  func soak() async throws {
    var service = Service(provider: ["shmem"], object: 64 << 20)
    service.options = ["--readers", "2"]
    try await service.run { server in
      let report = try await server.play("soak --clients 24 --seconds 6 --alarm 90")
      #expect(report["rounds"].number > 20)
    }
  }
}

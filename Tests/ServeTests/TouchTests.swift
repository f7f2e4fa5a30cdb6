// SPDX-License-Identifier: Apache-2.0
// Every dialect and generation over every kind of memory: each byte is the one that the object has there.
import TestSupport
import Testing

@Suite("Serve: touching", .enabled(if: canServe, "userfaultfd cannot be used here"))
struct TouchTests {
  /// The first generation says no page size: it had 4 KiB pages alone.
  static let pairs = dialects.flatMap { dialect in
    memories.filter { dialect != "fc1.1" || !$0.hasPrefix("hugetlb") }.map { (dialect, $0) }
  }

  @Test("all bytes, in regions that lie in another order, from many threads", arguments: pairs)
  func touch(_ dialect: String, _ memory: String) async throws {
    try needHugePages(memory)
    try await Service.of(memory).run { server in
      let report = try await server.play(
        "touch --regions 5 --order shuffled --dialect \(dialect) --memory \(memory)")
      let page: UInt64 = memory.hasPrefix("hugetlb") ? 2 << 20 : 4096
      #expect(report["pages"].number == 4 * (16 << 20) / page)
    }
  }

  @Test("a part of the object, and the tail behind its end", arguments: dialects)
  func tail(_ dialect: String) async throws {
    var service = Service.of("anon")
    service.object -= 1234
    service.options = ["--readers", "2"]
    try await service.run { server in
      try await server.play("touch --dialect \(dialect)")
      try await server.play("touch --dialect \(dialect) --offset 8M --bytes 4M --random 3")
      try await server.play("touch --dialect \(dialect) --offset 16773120 --bytes 4096")
    }
  }

  @Test("the kernel's own accesses", arguments: ["fc1.12", "native"], memories)
  func systemCalls(_ dialect: String, _ memory: String) async throws {
    try needHugePages(memory)
    try await Service.of(memory).run { server in
      try await server.play("syscalls --dialect \(dialect) --memory \(memory)")
    }
  }

  @Test("a thousand signals a second", arguments: ["fc1.12", "native"])
  func signals(_ dialect: String) async throws {
    try await Service.slow("delay=500").run { server in
      let report = try await server.play("signals --dialect \(dialect) --bytes 4M")
      #expect(report["signals"].number > 100)
    }
  }

  @Test("mappings that are split while they are served", arguments: ["fc1.12", "native"])
  func splits(_ dialect: String) async throws {
    try await Service.of("anon").run { server in
      for random in 1...3 {
        try await server.play("split --dialect \(dialect) --bytes 4M --random \(random)")
      }
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// Clients that change their address space: munmap, mremap, fork.
import TestSupport
import Testing

@Suite("Serve: layouts", .enabled(if: canServe, "userfaultfd cannot be used here"))
struct LayoutTests {
  static let both = ["fc1.12", "native"]

  @Test("holes by munmap", arguments: both, ["anon", "shmem", "hugetlb"])
  func holes(_ dialect: String, _ memory: String) async throws {
    try needHugePages(memory)
    try await Service.of(memory).run { server in
      for random in 1...3 {
        try await server.play(
          "unmap --regions 2 --random \(random) --dialect \(dialect) --memory \(memory)")
      }
    }
  }

  @Test(
    "threads that sleep on what is unmapped get SIGSEGV, with the event and without",
    arguments: both,
    ["remove,unmap", "remove"])
  func sleepers(_ dialect: String, _ events: String) async throws {
    try await Service.slow("delay=300000").run { server in
      try await server.play(
        "unmap-asleep --bytes 64K --events \(events) --dialect \(dialect)")
    }
  }

  @Test("ranges over three regions", arguments: both)
  func wide(_ dialect: String) async throws {
    try await Service.of("anon").run { server in
      try await server.play("unmap-wide --bytes 4M --dialect \(dialect)")
    }
  }

  @Test(
    "mapped and handed over anew at its old address, alone and above another region",
    arguments: ["anon", "shmem"], [1, 2])
  func anew(_ memory: String, _ regions: Int) async throws {
    try await Service.of(memory).run { server in
      try await server.play(
        "unmap-anew --bytes 2M --regions \(regions) --dialect native --memory \(memory)")
    }
    try await Service.slow("delay=1000").run { server in
      try await server.play(
        "unmap-anew --bytes 256K --rounds 20 --regions \(regions) --dialect native")
    }
  }

  @Test("a region in many pieces", arguments: both)
  func many(_ dialect: String) async throws {
    try await Service.of("anon").run { server in
      try await server.play("unmap-many --bytes 16M --dialect \(dialect)")
    }
  }

  @Test(
    "memory that is touched before it is handed over waits for its content",
    arguments: ["anon", "shmem"], ["above", "below"])
  func early(_ memory: String, _ mode: String) async throws {
    try await Service.of(memory).run { server in
      try await server.play("early --bytes 2M --dialect native --memory \(memory) --mode \(mode)")
    }
  }

  @Test(
    "memory that is never handed over is poisoned at the deadline, and status shows who waits",
    arguments: ["anon", "shmem", "hugetlb"], ["above", "below"])
  func earlyForEver(_ memory: String, _ mode: String) async throws {
    try needHugePages(memory)
    var service = Service.of(memory)
    service.options = ["--deadline", "2"]
    service.mayComplain = true
    try await service.run { server in
      try await server.play(
        "early-never --bytes 4M --dialect native --memory \(memory) --mode \(mode)"
      ) { _ in
        var isSeen = false
        for _ in 0..<100 where !isSeen {
          let sessions = try await server.status()["sessions"].list
          isSeen = sessions?.first?["faults"]["parked"] == .number(1)
        }
        #expect(isSeen, "no status shows the thread that waits")
      }
    }
  }

  @Test("memory that looks grown, and was touched, is refused when it is handed over")
  func earlyBehind() async throws {
    try await Service.of("anon").run { server in
      try await server.play("early-adjacent --bytes 2M --dialect native")
    }
  }

  @Test("mremap: moved, grown, shrunk, in part, without unmapping", arguments: both)
  func remap(_ dialect: String) async throws {
    try await Service.of("anon").run { server in
      for random in 1...3 {
        try await server.play("remap --regions 20 --random \(random) --dialect \(dialect)")
      }
    }
  }

  @Test("three generations by fork, some of which are killed", arguments: both)
  func forks(_ dialect: String) async throws {
    try await Service.of("anon").run { server in
      for random in 1...3 {
        try await server.play("fork --bytes 4M --random \(random) --dialect \(dialect)")
      }
    }
    try await Service.slow("delay=300").run { server in
      try await server.play("fork --bytes 1M --dialect \(dialect)")
    }
  }

  /// What a client is not protected from: the child's missing pages read zero.
  @Test("fork without the event does not hurt the parent", arguments: both)
  func unseenForks(_ dialect: String) async throws {
    try await Service.of("anon").run { server in
      try await server.play("fork-unseen --bytes 4M --dialect \(dialect)")
    }
  }
}

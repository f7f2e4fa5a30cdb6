// SPDX-License-Identifier: Apache-2.0
// What a client gives back reads zero afterwards, whatever was in flight; what it did not give back is still there.
import TestSupport
import Testing

@Suite("Serve: discards", .enabled(if: canServe, "userfaultfd cannot be used here"))
struct DiscardTests {
  static let both = ["fc1.12", "native"]

  @Test(
    "MADV_DONTNEED of a page that others fault in that moment", arguments: both,
    ["anon", "shmem-private", "hugetlb-private"])
  func race(_ dialect: String, _ memory: String) async throws {
    try needHugePages(memory)
    try await Service.of(memory, object: 64 << 20).run { server in
      try await server.play(
        "discard --rounds 10000 --threads 3 --dialect \(dialect) --memory \(memory)")
    }
  }

  @Test("the same with two readers, and with a provider that waits", arguments: both)
  func workers(_ dialect: String) async throws {
    var service = Service.slow("delay=50")
    service.options = ["--readers", "2"]
    try await service.run { server in
      try await server.play("discard --rounds 2000 --threads 4 --dialect \(dialect)")
    }
  }

  @Test("MADV_REMOVE of shared memory", arguments: both, ["shmem", "hugetlb"])
  func remove(_ dialect: String, _ memory: String) async throws {
    try needHugePages(memory)
    try await Service.of(memory, object: 64 << 20).run { server in
      try await server.play(
        "remove --rounds 10000 --threads 3 --dialect \(dialect) --memory \(memory)")
      try await server.play("dontneed-shared --dialect \(dialect) --memory \(memory)")
    }
  }

  @Test("MADV_REMOVE while another mapping of the file waits for the same page", arguments: [1, 2])
  func siblingRace(_ readers: Int) async throws {
    var service = Service.slow("delay=50")
    service.options += ["--readers", "\(readers)"]
    try await service.run { server in
      try await server.play(
        "remove --mode sibling-race --memory shmem --dialect native --rounds 3000 --threads 4")
    }
  }

  @Test("MADV_REMOVE reaches every mapping of the file", arguments: ["shmem", "hugetlb"])
  func siblings(_ memory: String) async throws {
    try needHugePages(memory)
    try await Service.of(memory).run { server in
      try await server.play("remove --mode sibling --dialect native --memory \(memory)")
    }
  }

  @Test("MADV_REMOVE of parts of huge pages", arguments: both)
  func parts(_ dialect: String) async throws {
    try needHugePages("hugetlb")
    try await Service.of("hugetlb", object: 32 << 20).run { server in
      try await server.play("partly --dialect \(dialect) --memory hugetlb")
    }
  }

  @Test("MADV_FREE", arguments: both)
  func free(_ dialect: String) async throws {
    try await Service.of("anon").run { server in
      try await server.play("free --rounds 2000 --threads 3 --dialect \(dialect)")
    }
  }

  @Test("a balloon storm", arguments: dialects, memories)
  func storm(_ dialect: String, _ memory: String) async throws {
    if dialect == "fc1.1", memory.hasPrefix("hugetlb") { return }
    try needHugePages(memory)
    var service = Service.of(memory, object: 64 << 20)
    if dialect != "fc1.7" { service.options = ["--readers", "2"] }
    try await service.run { server in
      try await server.play(
        "storm --threads 6 --seconds 1 --dialect \(dialect) --memory \(memory)")
    }
  }

  @Test("a balloon storm over a provider that waits", arguments: both)
  func slowStorm(_ dialect: String) async throws {
    try await Service.slow("delay=200").run { server in
      try await server.play("storm --threads 6 --bytes 4M --dialect \(dialect)")
    }
  }

  @Test(
    "a balloon storm while a prefetch goes on", arguments: both, ["anon", "shmem", "shmem-private"])
  func prefetched(_ dialect: String, _ memory: String) async throws {
    var service = Service.of(memory, object: 64 << 20)
    // So that it lasts as long as the storm.
    service.options = ["--readers", "2", "--background-fill", "--fill-rate", "64M"]
    try await service.run { server in
      try await server.play(
        "storm --threads 6 --seconds 1 --dialect \(dialect) --memory \(memory)")
    }
  }

  @Test("a balloon storm while the server fills everything by itself", arguments: memories)
  func drain(_ memory: String) async throws {
    try needHugePages(memory)
    try await Service.of(memory, object: 64 << 20).run { server in
      try await server.play(
        "storm-drain --threads 6 --seconds 1 --dialect native --memory \(memory)")
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// The judges are judged: a handler of a few lines of C passes the scenarios, and each defect that it can be given
// fails one. Nothing here runs our own server.
import Glibc
import Synchronization
import TestSupport
import Testing

@Suite("Serve: the clients themselves", .enabled(if: canServe, "userfaultfd cannot be used here"))
struct ReferenceTests {
  private func handler(
    _ options: [String], object: UInt64 = 16 << 20, _ body: @Sendable (Server) async throws -> Void
  ) async throws {
    let programs = try await Programs.shared
    let socket = Programs.scratchFile("\(UInt64.random(in: 0 ... .max)).sock")
    var child = Child.Options()
    child.isIdle = true
    child.limit = 300
    let command = [programs.handler, socket, "7", "\(object)"] + options
    try await Turns.one {
      let hasListened = Mutex(false)
      let outcome = try await Child.run(command, child) { child in
        defer { child.send(SIGKILL) }
        guard try await Server.isListening(at: socket, child) else { return }
        hasListened.withLock { $0 = true }
        try await body(
          Server(child: child, socket: socket, object: object, client: programs.client))
      }
      #expect(hasListened.withLock { $0 }, "the handler does not listen: \(outcome.story)")
    }
  }

  static let scenarios = [
    "touch --regions 5 --order shuffled", "touch --memory hugetlb --dialect fc1.7",
    "touch --dialect e2b",
    "syscalls --memory shmem", "discard --rounds 4096 --threads 3",
    "remove --rounds 2000 --memory shmem",
    "storm --seconds 1", "unmap", "remap --regions 9", "fork --bytes 4M", "fork-unseen --bytes 4M",
    "split",
    "kill --rounds 10", "crowd --clients 16 --bytes 1M",
  ]

  @Test("a minimal handler passes", arguments: scenarios)
  func passes(_ scenario: String) async throws {
    try needHugePages(scenario.contains("hugetlb") ? "hugetlb" : "anon")
    try await handler([]) { server in try await server.play(scenario) }
  }

  struct Defect: Sendable, CustomTestStringConvertible {
    let name: String
    let scenario: String
    let isHang: Bool
    var more: [String] = []
    var testDescription: String { "\(name): \(scenario)" }
    init(_ name: String, _ scenario: String, isHang: Bool = false, _ more: [String] = []) {
      self.name = name
      self.scenario = scenario
      self.isHang = isHang
      self.more = more
    }
  }

  static let defects = [
    Defect("keeps-discarded", "discard --rounds 300"),
    Defect("keeps-discarded", "storm --seconds 1"),
    Defect("keeps-discarded", "kvm --bytes 4M"),
    Defect("installs-late", "discard --rounds 16000 --threads 3"),
    Defect("forgets-moved", "remap --regions 8"),
    Defect(
      "forgets-unmapped", "unmap-asleep --bytes 64K --alarm 5", isHang: true, ["delay=300000"]),
    Defect("forgets-child", "fork --bytes 4M"),
    Defect("ignores-offset", "touch --regions 3 --order shuffled"),
    Defect("drops-faults", "touch --alarm 5", isHang: true),
    Defect("tears-pages", "touch"),
    Defect("tears-pages", "crowd --clients 4 --bytes 1M"),
  ]

  @Test("a defect is found", arguments: defects)
  func finds(_ defect: Defect) async throws {
    let object: UInt64 = defect.name == "installs-late" ? 64 << 20 : 16 << 20
    try await handler(["defect=\(defect.name)"] + defect.more, object: object) { server in
      try await server.play(defect.scenario, code: defect.isHang ? 3 : 1)
    }
  }

  @Test("pages that cannot be had are told apart")
  func poison() async throws {
    try await handler(["bad=10:5"]) { server in
      try await server.play("poison --first-bad 10 --bad 5 --bytes 4M")
      // One page less than there are.
      try await server.play("poison --first-bad 10 --bad 4 --bytes 4M", code: 1)
    }
  }
}

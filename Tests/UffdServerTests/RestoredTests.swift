// SPDX-License-Identifier: Apache-2.0
// The memory of other processes, handed over on one connection of this one and served by the real core. In
// processes of their own: they fork.
import FaultInjection
import Glibc
import TestSupport
import Testing
import UffdHost

@testable import UffdServer

@Suite(
  .enabled(if: TestUffd.isPossible, "no userfaultfd can be opened here"),
  .enabled(if: Checkout.find("cc") != nil, "there is no C compiler"))
struct RestoredTests {
  private static let pages: UInt64 = 64

  private static func start(_ scenario: handed_scenario) throws -> handed {
    var process = handed()
    let result = unsafe handed_start(&process, HANDED_ANON, scenario, pages, 0, 1)
    if result < 0 { throw Errno(-result) }
    return process
  }

  private static func go(_ process: handed) {
    unsafe withUnsafePointer(to: process) { unsafe handed_go($0) }
  }

  /// Its exit status; whoever sleeps on a page that nobody serves has none.
  private static func status(_ process: handed) -> Int32 {
    unsafe withUnsafePointer(to: process) { unsafe handed_wait($0, 40) }
  }

  private static func service(_ scratch: Scratch) async throws -> InstanceService {
    let tests = Checkout.root + "/Tests"
    let path = try await Compiler.library(
      tests + "/UffdHostTests/Providers/test_provider.c", to: scratch.path + "/provider.so",
      flags: ["-std=gnu11", "-I\(tests)/FaultInjection/include"])
    let host = try Host(Host.Options())
    let parameters = ["memory": "anon", "granule": "4096", "size": "\(pages * 4096)", "seed": "1"]
    let instance = try host.openForClients(
      try Provider.load(path), parameters: parameters.map { Parameter($0.key, $0.value) })
    return InstanceService(host, instance)
  }

  private static func hand(_ connection: TestConnection, _ process: handed) throws {
    try connection.send(
      RestorerTestDialect.request(process.pid, process.start, process.length),
      [Descriptor(owning: process.uffd)])
  }

  @Test func `one of three dies, and the others are served to the end`() async {
    await #expect(processExitsWith: .success) {
      alarm(100)
      let processes = try [HANDED_TOUCH, HANDED_SLEEP, HANDED_WAIT].map { try Self.start($0) }
      let scratch = try Scratch()
      let server = try TestServer(
        core: try await Self.service(scratch), speaking: [RestorerTestDialect.self])
      do {
        let connection = try server.connect()
        for process in processes {
          try Self.hand(connection, process)
          try server.waitForLine("(pid \(process.pid), restorer): serving 256 KiB")
        }
      }
      kill(processes[1].pid, SIGKILL)
      try server.waitForLine("(pid \(processes[1].pid), restorer): its memory is gone")
      Self.go(processes[0])
      #expect(Self.status(processes[0]) == 0)
      // It has touched nothing, and finds everything there when nobody serves it any more.
      Self.go(processes[2])
      #expect(try server.stop() == 0)
      #expect(server.hasLine("(pid \(processes[2].pid), restorer): drained: every page is there"))
      Self.go(processes[2])
      #expect(Self.status(processes[2]) == 0)
    }
  }

  @Test func `who is refused is killed if he is known, and never who connected`() async {
    await #expect(processExitsWith: .success) {
      alarm(100)
      let processes = try (0..<2).map { _ in try Self.start(HANDED_SLEEP) }
      let server = try TestServer(
        FakeService(objection: "not this"), speaking: [RestorerTestDialect.self]
      ) { $0.killsRefused = true }
      let connection = try server.connect()
      try Self.hand(connection, processes[0])
      try server.waitForLine(
        "pid \(processes[0].pid), restorer: the hand-off is refused: not this; it is killed")
      #expect(Self.status(processes[0]) == 256 + SIGKILL)
      var unknown = processes[1]
      unknown.pid = 1 << 22
      try Self.hand(connection, unknown)
      try server.waitForLine("; it cannot be killed (ESRCH); its missing pages will stall")
      #expect(kill(processes[1].pid, 0) == 0)
      #expect(try server.stop() == 0)
    }
  }
}

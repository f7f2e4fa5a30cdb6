// SPDX-License-Identifier: Apache-2.0
// Hand-overs while the provider takes its time to say whether it serves them: they wait, and nobody else does.
import Glibc
import Synchronization
import TestSupport
import Testing
import UffdHost

@testable import UffdServer

@Suite(.enabled(if: TestUffd.isPossible, "no userfaultfd can be opened here"))
struct HandOverTests {
  /// A server whose provider does not answer about two regions before it is told to.
  private func slowServer(_ change: (inout ServerOptions) -> Void = { _ in }) throws -> TestServer {
    let server = try TestServer(FakeService(), change)
    server.service.slowCount.store(2, ordering: .relaxed)
    return server
  }

  private func answerNow(_ server: TestServer) {
    server.service.slowCount.store(0, ordering: .relaxed)
  }

  @Test func `while one waits for the provider, others are served`() throws {
    let server = try slowServer()
    let slow = try server.connect()
    try slow.send("TESTA2", [TestUffd.make()])
    try slow.send("P0")
    #expect(try slow.line() == "hello")
    let begin = monotonicNanoseconds()
    let other = try server.connect()
    try other.send("TESTA1N1S0", [TestUffd.make()])
    #expect(try other.line() == "hello")
    #expect(try other.line() == "done 1")
    #expect(try other.line() == "done 1")
    #expect(try other.line()?.hasPrefix("status ") == true)
    #expect(monotonicNanoseconds() - begin < 4_000_000_000)
    answerNow(server)
    #expect(try slow.line() == "done 2")
    #expect(try slow.line() == "progress serving 2097152", "what came meanwhile is answered then")
    #expect(try server.stop() == 0)
  }

  @Test func `whoever closes his end meanwhile is served, and costs no turn`() throws {
    let server = try slowServer()
    do {
      let client = try server.connect()
      try client.send("MUTEA2", [TestUffd.make()])
    }
    let before = server.cpuNanoseconds
    usleep(300_000)
    // A server that is told of the end again and again takes all of it.
    #expect(server.cpuNanoseconds - before < 100_000_000)
    answerNow(server)
    try wait("it is served") { server.service.fakes.count == 1 }
    #expect(try server.stop() == 0)
  }

  @Test(arguments: ["TEST", "MUTE"]) func `a provider that does not answer in time serves nobody`(
    magic: String
  ) throws {
    let server = try slowServer { $0.handshakeNanoseconds = 300_000_000 }
    let uffd = try TestUffd.make()
    let client = try server.connect()
    try client.send(magic + "A2", [TestUffd.copy(uffd)])
    let reason = "the provider 'fake' has not said in time whether it serves this memory"
    try server.waitForLine("refused: \(reason)")
    if magic == "TEST" {
      #expect(try client.line() == "hello")
      #expect(try client.line() == "refused \(reason)")
    } else {
      try server.waitForLine("its missing pages will stall")
    }
    #expect(try client.isClosed())
    answerNow(server)
    usleep(100_000)
    #expect(server.service.fakes.isEmpty, "what was given up came nevertheless")
    if magic == "TEST" {
      let again = try server.connect()
      try again.send("TESTA2", [uffd])
      #expect(try again.line() == "hello")
      #expect(try again.line() == "done 1")
    }
    #expect(try server.stop() == 0)
    #expect(server.hasLine("1 connections refused"))
  }

  @Test func `more regions that nothing is said about are refused, the client goes on`() throws {
    let server = try slowServer { $0.handshakeNanoseconds = 300_000_000 }
    let client = try server.connect()
    try client.send("TESTA1N2P0", [TestUffd.make()])
    #expect(try client.line() == "hello")
    #expect(try client.line() == "done 1")
    #expect(try client.line()?.hasPrefix("refused the provider 'fake' has not said") == true)
    #expect(try client.line() == "progress serving 1048576")
    answerNow(server)
    try client.send("N2")
    #expect(try client.line() == "done 1")
    #expect(server.service.fakes[0].calls == ["add 2"])
    #expect(try server.stop() == 0)
  }

  @Test func `a userfaultfd on its way cannot be handed over again`() throws {
    let server = try slowServer()
    let uffd = try TestUffd.make()
    let (first, second) = (try server.connect(), try server.connect())
    try first.send("TESTA2", [TestUffd.copy(uffd)])
    #expect(try first.line() == "hello")
    usleep(50_000)
    try second.send("TESTA1", [uffd])
    #expect(try second.line() == "hello")
    #expect(try second.line()?.contains("handed over already") == true)
    answerNow(server)
    #expect(try first.line() == "done 1")
    #expect(try server.stop() == 0)
  }

  @Test func `so many may wait for the provider, and the end does not wait for them`() throws {
    let server = try slowServer {
      $0.mostHandshakes = 2
      $0.handshakeNanoseconds = 300_000_000
    }
    for _ in 0..<2 {
      let client = try server.connect()
      try client.send("TESTA2", [TestUffd.make()])
      #expect(try client.line() == "hello")
      #expect(try client.line()?.contains("has not said in time") == true)
    }
    let third = try server.connect()
    try third.send("TESTA1", [TestUffd.make()])
    #expect(try third.line() == "hello")
    #expect(try third.line()?.contains("has not said of 2 others yet") == true)
    #expect(try server.stop() == 0)
    answerNow(server)
  }

  @Test func `a hand-off that is refused is counted and told once`() throws {
    let server = try TestServer(FakeService(objection: "not this one"))
    do {
      let client = try server.connect()
      try client.send("TESTA1", [TestUffd.make()])
      #expect(try client.line() == "hello")
      #expect(try client.line() == "refused not this one")
      try client.send("A1", [TestUffd.make()])
      #expect(try client.line() == "refused not this one")
    }
    usleep(100_000)
    #expect(try server.stop() == 0)
    #expect(server.hasLine("ended: 0 clients were served, 1 connections refused"))
    #expect(server.lines.count { $0.contains("refused:") } == 2, "one line for each hand-off")
  }
}

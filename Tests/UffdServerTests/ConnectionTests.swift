// SPDX-License-Identifier: Apache-2.0
// Hand-offs and requests over a real socket, with a core of the tests' own.
import Glibc
import Synchronization
import Testing
import UffdHost

@testable import UffdServer

@Suite(.enabled(if: TestUffd.isPossible, "no userfaultfd can be opened here"))
struct ConnectionTests {
  @Test func `a client is handed over, asked about, drained`() throws {
    let server = try TestServer()
    let client = try server.connect()
    try client.send("TESTA2", [TestUffd.make()])
    #expect(try client.line() == "hello")
    #expect(try client.line() == "done 1")
    try client.send("P0")
    #expect(try client.line() == "progress serving 2097152")
    let fake = try #require(server.service.fakes.first)
    #expect(fake.identity.pid == getpid())
    #expect(fake.identity.uid == geteuid())
    #expect(fake.identity.pidfd != nil)
    #expect(fake.identity.dialect == "test")
    try client.send("D0")
    #expect(try client.line() == "done 1")
    // The session has ended, and can still be asked how it was.
    try client.send("P0D0")
    #expect(try client.line() == "progress drained 2097152")
    #expect(try client.line() == "refused the session has ended")
    #expect(try server.stop() == 0)
    #expect(server.hasLine("client 1 (pid \(getpid()), test): serving 2 MiB in 2 regions"))
  }

  @Test func `the end of a connection ends no session`() throws {
    let server = try TestServer()
    do {
      let client = try server.connect()
      try client.send("MUTEA1", [TestUffd.make()])
    }
    try wait("the client is served") { server.service.fakes.count == 1 }
    usleep(50_000)
    #expect(server.service.fakes.count == 1)
    #expect(server.service.fakes[0].calls.isEmpty)
    #expect(try server.stop() == 0)
  }

  @Test func `regions are added and removed, and answers come when it is done`() throws {
    let server = try TestServer { $0.mostRegions = 3 }
    let client = try server.connect()
    try client.send("TESTA2R1N1", [TestUffd.make()])
    _ = try client.line()
    #expect(try client.line() == "done 1")
    // The removal is not done: two and one are three.
    #expect(try client.line() == "done 1")
    try client.send("N1")
    #expect(try client.line()?.contains("4 regions are more than 3") == true)
    let fake = try #require(server.service.fakes.first)
    fake.state.withLock { $0.removals.removeFirst() }(nil)
    #expect(try client.line() == "done 1")
    try client.send("N1R0")
    #expect(try client.line() == "done 1")
    try wait("the removal is asked for") { fake.calls.count == 4 }
    fake.state.withLock { $0.removals.removeFirst() }(HostError(.service, "not today"))
    #expect(try client.line() == "refused not today")
    #expect(try server.stop() == 0)
  }

  @Test func `answers that are due come after the client has ended its half`() throws {
    let server = try TestServer(FakeService(drainsAtOnce: false))
    let client = try server.connect()
    try client.send("TESTA1D0", [TestUffd.make()])
    client.endWriting()
    _ = try client.line()
    #expect(try client.line() == "done 1")
    let fake = try #require(server.service.fakes.first)
    try wait("it is drained") { fake.calls == ["drain"] }
    usleep(20_000)
    fake.end(.drained(poisoned: 0))
    #expect(try client.line() == "done 1")
    #expect(try client.line() == nil)
    #expect(try server.stop() == 0)
  }

  @Test func `more requests than one turn answers are all answered, and others between`() throws {
    let server = try TestServer()
    let client = try server.connect()
    try client.send("TESTA1", [TestUffd.make()])
    for _ in 0..<3 { try client.send(String(repeating: "P0", count: 100)) }
    _ = try client.line()
    _ = try client.line()
    for _ in 0..<300 { #expect(try client.line() == "progress serving 1048576") }
    #expect(try server.stop() == 0)
  }

  @Test func `a client that does not read is asked to wait, and then gets every answer`() throws {
    let server = try TestServer()
    let client = try server.connect()
    try client.send("TESTA1", [TestUffd.make()])
    _ = try client.line()
    _ = try client.line()
    // Far more answers than the socket and the server's own buffer hold.
    var sent = 0
    let request = Array(String(repeating: "P0", count: 1000).utf8)
    for _ in 0..<200 {
      guard (try? client.send(request)) != nil else { break }
      sent += 1000
    }
    // Others are served meanwhile.
    let other = try server.connect()
    try other.send("TESTS0")
    #expect(try other.line() == "hello")
    #expect(try other.line()?.hasPrefix("status ") == true)
    for _ in 0..<sent { #expect(try client.line() == "progress serving 1048576") }
    #expect(sent >= 1000)
    #expect(try server.stop() == 0)
  }

  @Test func `a client that was left alone is not waited for`() throws {
    let server = try TestServer(FakeService(drainsAtOnce: false))
    let uffd = try TestUffd.make()
    let client = try server.connect()
    try client.send("TESTA1X0D0", [uffd])
    for line in ["hello", "done 1", "done 1", "refused it is left alone since it asked for that"] {
      #expect(try client.line() == line)
    }
    // Its uffd may come again.
    let again = try server.connect()
    try again.send("TESTA1", [uffd])
    _ = try again.line()
    #expect(try again.line() == "done 2")
    let second = try #require(server.service.fakes.last)
    server.send(SIGTERM)
    try wait("the second is drained") { second.calls.contains("drain") }
    second.end(.drained(poisoned: 0))
    #expect(try server.end() == 0)
    #expect(server.hasLine("client 1 (pid \(getpid()), test): was left alone"))
  }

  @Test func `what is asked again and again is done and said once, and answered each time`() throws
  {
    let server = try TestServer(FakeService(drainsAtOnce: false))
    let client = try server.connect()
    try client.send("TESTA1" + String(repeating: "D0", count: 100), [TestUffd.make()])
    for line in ["hello", "done 1"] { #expect(try client.line() == line) }
    try server.waitForLine("draining, as it asked")
    try client.send("P0")
    #expect(try client.line()?.hasPrefix("progress") == true)
    let fake = try #require(server.service.fakes.first)
    #expect(fake.calls == ["drain"])
    fake.end(.drained(poisoned: 0))
    for _ in 0..<100 { #expect(try client.line() == "done 1") }
    let other = try server.connect()
    try other.send("TESTA1" + String(repeating: "X0", count: 100), [TestUffd.make()])
    _ = try other.line()
    for _ in 0..<101 { #expect(try other.line() == "done 2") }
    #expect(server.service.fakes.first?.calls == ["detach"])
    #expect(server.lines.count { $0.contains("as it asked") } == 2)
    #expect(try server.stop() == 0)
  }

  @Test func `whoever comes and goes again and again does not fill the log`() throws {
    let server = try TestServer()
    func comeAndGo() throws {
      let client = try server.connect()
      try client.send("TESTA1D0", [TestUffd.make(0xf << 1)])
      for _ in 0..<3 { _ = try client.line() }
    }
    for _ in 0..<40 { try comeAndGo() }
    // In ordinary use nothing is left out.
    let normal = server.lines
    for part in ["serving 1 MiB", "draining, as it asked", "drained: every page"] {
      #expect(normal.count { $0.contains(part) } == 40, "\(part)")
    }
    for _ in 0..<300 { try comeAndGo() }
    #expect(server.lines.count < 700, "of 1360 lines")
    try wait("it is said how many were left out") {
      try? comeAndGo()
      return server.hasLine("lines about clients of this user were left out before this one)")
    }
    // Nobody else's lines are lost, and a refusal is one.
    let refused = try server.connect()
    try refused.send("TESTZ0")
    try server.waitForLine("0x5a is no request")
    #expect(try server.stop() == 0)
  }

  @Test func `the state is for whoever may see it`() throws {
    let server = try TestServer()
    let client = try server.connect()
    try client.send("TESTA2", [TestUffd.make()])
    _ = try client.line()
    _ = try client.line()
    let asker = try server.connect()
    try asker.send("TESTS0")
    _ = try asker.line()
    let head = try #require(try asker.line())
    let count = try #require(Int(head.dropFirst(7)))
    let report = try StatusReport(parsing: String(decoding: asker.bytes(count), as: UTF8.self))
    #expect(report.provider == "fake" && report.phase == "serving" && report.pid == getpid())
    #expect(report.clientsServed == 1 && report.connections == 2)
    let session = try #require(report.sessions.first)
    #expect(session.bytes == 2 << 20 && session.residentBytes == 8192 && session.isConnected)
    #expect(session.dialect == "test" && session.regions.count == 2)
    #expect(try server.stop() == 0)
  }
}

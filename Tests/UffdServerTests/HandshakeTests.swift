// SPDX-License-Identifier: Apache-2.0
// Handshakes that are malformed, truncated, slow, huge, doubled, without descriptors or flooded with
// them: each is refused with one line, and nobody else notices.
import Glibc
import Testing
import UffdHost

@testable import UffdServer

@Suite(.enabled(if: TestUffd.isPossible, "no userfaultfd can be opened here"))
struct HandshakeTests {
  /// Lines about refusals.
  private func refusals(_ server: TestServer) -> [String] {
    server.lines.filter { $0.contains("warning") && $0.contains("refused") }
  }

  /// Another client is served as if nothing had happened.
  private func expectServes(_ server: TestServer) throws {
    let other = try server.connect()
    try other.send("TESTA1", [TestUffd.make()])
    #expect(try other.line() == "hello")
    #expect(try other.line()?.hasPrefix("done ") == true)
  }

  /// What is sent, and what the one line says.
  static let garbage: [(String, String)] = [
    ("GARBAGE", "the first 7 bytes are of no dialect that is spoken here (test, mute)"),
    ("TESTZ1", "0x5a is no request"), ("MUTEZ1", "0x5a is no request"),
    ("TESTA1", "no descriptor came"),
    ("TEST" + String(repeating: "\0", count: 100), "100 bytes came without a whole request"),
  ]

  @Test(arguments: garbage) func `garbage is refused`(bytes: String, says: String) throws {
    let server = try TestServer()
    let client = try server.connect()
    try client.send(bytes)
    #expect(try client.isClosed())
    try server.waitForLine(says)
    #expect(refusals(server).count == 1)
    try expectServes(server)
    #expect(try server.stop() == 0)
    #expect(server.service.fakes.isEmpty)
  }

  @Test(arguments: ["T", "TEST", "TESTA"]) func `a handshake that ends early is refused`(
    bytes: String
  ) throws {
    let server = try TestServer()
    let pipe = LivePipe()
    let client = try server.connect()
    try client.send(bytes, pipe.descriptors(2))
    client.endWriting()
    #expect(try client.isClosed())
    try server.waitForLine("refused")
    #expect(refusals(server).count == 1)
    #expect(pipe.allAreClosed())
    #expect(try server.stop() == 0)
  }

  @Test func `whoever connects and says nothing is nobody`() throws {
    let server = try TestServer()
    do { _ = try server.connect() }
    try expectServes(server)
    #expect(refusals(server).isEmpty)
    #expect(try server.stop() == 0)
  }

  @Test func `a handshake that takes too long is refused, byte by byte or not at all`() throws {
    let server = try TestServer { $0.handshakeNanoseconds = 300_000_000 }
    let silent = try server.connect()
    let slow = try server.connect()
    let begin = monotonicNanoseconds()
    for byte in ["T", "E", "S", "T"] {
      try slow.send(byte)
      usleep(30_000)
    }
    try expectServes(server)
    #expect(try silent.isClosed() && slow.isClosed())
    let elapsed = monotonicNanoseconds() - begin
    #expect((200_000_000...3_000_000_000).contains(elapsed))
    try server.waitForLine("4 bytes came in 3")
    // Whoever has asked for the state, or is served, is not in a hurry.
    #expect(refusals(server).count == 2)
    #expect(try server.stop() == 0)
  }

  @Test func `a client that is served has all the time it wants`() throws {
    let server = try TestServer { $0.handshakeNanoseconds = 100_000_000 }
    let client = try server.connect()
    try client.send("TESTA1", [TestUffd.make()])
    _ = try client.line()
    _ = try client.line()
    usleep(300_000)
    try client.send("P0")
    #expect(try client.line() == "progress serving 1048576")
    #expect(try server.stop() == 0)
  }

  @Test func `the same userfaultfd twice, over one connection or two, is refused`() throws {
    let server = try TestServer()
    let uffd = try TestUffd.make()
    let client = try server.connect()
    try client.send("TESTA1", [uffd])
    _ = try client.line()
    _ = try client.line()
    try client.send("A1", [uffd])
    #expect(try client.line()?.contains("one connection hands one userfaultfd over") == true)
    try client.send("P0")
    #expect(try client.line() == "progress serving 1048576")
    let other = try server.connect()
    try other.send("TESTA1", [uffd])
    _ = try other.line()
    #expect(try other.line()?.contains("is served already, as client 1") == true)
    #expect(server.service.fakes.count == 1)
    #expect(try server.stop() == 0)
  }

  @Test func `garbage of a client that is served ends its connection and nothing else`() throws {
    let server = try TestServer()
    let client = try server.connect()
    try client.send("TESTA1Z1", [TestUffd.make()])
    #expect(try client.isClosed())
    try server.waitForLine("the connection is closed, the memory is served on")
    #expect(server.service.fakes.count == 1)
    #expect(try server.stop() == 0)
  }

  @Test func `descriptors beyond what may wait are refused and closed`() throws {
    let server = try TestServer()
    let pipe = LivePipe()
    let client = try server.connect()
    // In one message more than are taken, and then one after the other.
    try client.send("T", pipe.descriptors(100))
    #expect(try client.isClosed())
    try server.waitForLine("descriptors were lost")
    let patient = try server.connect()
    for _ in 0..<100 { if (try? patient.send("\0", pipe.descriptors(1))) == nil { break } }
    #expect(try patient.isClosed())
    let third = try server.connect()
    try third.send("TEST")
    for _ in 0..<10 { if (try? third.send("\0", pipe.descriptors(10))) == nil { break } }
    #expect(try third.isClosed())
    try server.waitForLine("descriptors came that no request asked for")
    #expect(pipe.allAreClosed())
    try expectServes(server)
    #expect(try server.stop() == 0)
  }

  @Test func `where too many shake hands, the busiest process loses its oldest`() throws {
    let server = try TestServer { $0.mostHandshakes = 4 }
    let clients = try (0..<6).map { _ in try server.connect() }
    try expectServes(server)
    #expect(try clients[0].isClosed() && clients[1].isClosed())
    try clients[5].send("TESTA1", [TestUffd.make()])
    #expect(try clients[5].line() == "hello")
    #expect(try server.stop() == 0)
    #expect(server.hasLine("4 handshakes are open at once, 4 of this process"))
  }

  @Test func `caps of clients and regions, and what the core objects to`() throws {
    let server = try TestServer {
      $0.mostClients = 2
      $0.mostRegions = 3
    }
    let client = try server.connect()
    try client.send("TESTA4", [TestUffd.make()])
    _ = try client.line()
    #expect(try client.line() == "refused 4 regions are more than 3; raise '--max-regions'")
    try client.send("A0", [TestUffd.make()])
    #expect(try client.line() == "refused there is no region in the hand-off")
    // Whoever was told may try again.
    try client.send("A3", [TestUffd.make()])
    #expect(try client.line() == "done 1")
    try expectServes(server)
    let third = try server.connect()
    try third.send("TESTA1", [TestUffd.make()])
    _ = try third.line()
    #expect(
      try third.line() == "refused 2 clients are served, and no more may be; raise '--max-clients'")
    #expect(try server.stop() == 0)
    let strict = try TestServer(FakeService(objection: "this memory is not for me"))
    let refused = try strict.connect()
    try refused.send("TESTA1", [TestUffd.make()])
    _ = try refused.line()
    #expect(try refused.line() == "refused this memory is not for me")
    #expect(try strict.stop() == 0)
  }

  @Test func `requests before a hand-off are refused, and it may still come`() throws {
    let server = try TestServer()
    let client = try server.connect()
    try client.send("TESTD0P0X0")
    _ = try client.line()
    for _ in 0..<3 { #expect(try client.line()?.contains("before any userfaultfd") == true) }
    try client.send("A1", [TestUffd.make()])
    #expect(try client.line() == "done 1")
    #expect(try server.stop() == 0)
  }

  @Test func `a thousand handshakes of every bad kind leave no descriptor behind`() throws {
    let server = try TestServer()
    let pipe = LivePipe()
    for round in 0..<1000 {
      let client = try server.connect()
      let (bytes, _) = Self.garbage[round % Self.garbage.count]
      try? client.send(bytes, pipe.descriptors(round % 8))
      if round % 10 == 0 { #expect(try client.isClosed()) }
    }
    try expectServes(server)
    #expect(pipe.allAreClosed())
    #expect(try server.stop() == 0)
    // The flood has not filled the log.
    #expect(server.lines.count < 100)
  }
}

// SPDX-License-Identifier: Apache-2.0
// How a server ends, with a core of the tests' own whose clients drain when a test says so.
import Glibc
import Synchronization
import TestSupport
import Testing
import UffdHost

@testable import UffdServer

@Suite(.enabled(if: TestUffd.isPossible, "no userfaultfd can be opened here"))
struct EndingTests {
  /// A client that is served, and its core.
  private func attach(_ server: TestServer) throws -> (TestConnection, FakeClient) {
    let client = try server.connect()
    try client.send("TESTA1", [TestUffd.make()])
    _ = try client.line()
    #expect(try client.line()?.hasPrefix("done ") == true)
    return (client, try #require(server.service.fakes.last))
  }

  @Test(arguments: [SIGTERM, SIGINT]) func `a signal drains, and the server waits for that`(
    signal: Int32
  ) throws {
    let server = try TestServer(FakeService(drainsAtOnce: false))
    let (_, first) = try attach(server)
    let (_, second) = try attach(server)
    server.send(signal)
    try wait("both are drained") {
      first.calls.first == "drain" && second.calls.first == "drain"
    }
    #expect(unsafe access(server.path, F_OK) != 0)
    #expect(throws: Errno.ENOENT) { try TestConnection(server.path) }
    first.state.withLock { $0.progress.regions[0].residentBytes = 1 << 19 }
    try server.waitForLine("waiting for 2 clients")
    try server.waitForLine(" to go; given up in ")
    first.end(.drained(poisoned: 0))
    try server.waitForLine("waiting for 1 clients")
    #expect(server.isRunning)
    second.end(.gone)
    #expect(try server.end() == 0)
    #expect(!first.calls.contains("poison") && !second.calls.contains("poison"))
  }

  @Test func `while it drains it can be asked what it waits for`() throws {
    let server = try TestServer(FakeService(drainsAtOnce: false)) {
      $0.drainNanoseconds = 60_000_000_000
      $0.handshakeNanoseconds = 60_000_000_000
    }
    let (_, client) = try attach(server)
    server.send(SIGTERM)
    try server.waitForLine("no new clients")
    let place = server.path + Listener.lateSuffix
    try wait("it listens there") { unsafe access(place, F_OK) == 0 }
    client.state.withLock { $0.progress.regions[0].residentBytes = 1 << 19 }
    for _ in 0..<2 {
      let curious = try TestConnection(place)
      try curious.send("TESTS0")
      #expect(try curious.line() == "hello")
      let length = try #require(try curious.line()).dropFirst("status ".count)
      let json = String(
        decoding: try curious.bytes(try #require(Int(length))), as: UTF8.self)
      let report = try StatusReport(parsing: json)
      #expect(report.phase == "draining" && !report.isSocketPassed)
      let waiting = try #require(report.waiting)
      #expect(waiting.clients == 1 && waiting.missingBytes == 1 << 19 && waiting.handshakes == 0)
      #expect(waiting.estimateNanoseconds != nil)
      #expect(waiting.patienceNanoseconds.map { $0 > 0 && $0 < 60_000_000_000 } == true)
      #expect(report.text.contains("waiting for 1 clients, 512 KiB missing, about "))
    }
    let late = try TestConnection(place)
    try late.send("TESTA1", [TestUffd.make()])
    #expect(try late.line() == "hello")
    #expect(try late.line() == "refused this server is ending, and takes no new clients")
    // Who says nothing there does not keep it.
    let silent = try TestConnection(place)
    client.end(.drained(poisoned: 0))
    let begin = monotonicNanoseconds()
    #expect(try server.end() == 0)
    #expect(monotonicNanoseconds() - begin < 10_000_000_000)
    #expect(unsafe access(place, F_OK) != 0 && access(place + ".lock", F_OK) != 0)
    withExtendedLifetime((late, silent)) {}
  }

  @Test func `a second signal gives up what is missing`() throws {
    let server = try TestServer(FakeService(drainsAtOnce: false))
    let (connection, client) = try attach(server)
    server.send(SIGTERM)
    try wait("it is drained") { client.calls.first == "drain" }
    try connection.send("D0")
    try wait("it asks itself, too") { client.calls.filter { $0 == "drain" }.count > 1 }
    server.send(SIGTERM)
    #expect(try server.end() == 1)
    #expect(client.calls.last == "poison")
    // Poisoned is settled: the client asks for its progress if it wants to know.
    #expect(try connection.line() == "done 1")
    #expect(server.hasLine("a second signal came (SIGTERM): 1020 KiB of 1 clients are missing"))
    #expect(server.hasLine("4 KiB could not be had and are poisoned"))
  }

  @Test func `the time for draining is limited`() throws {
    let server = try TestServer(FakeService(drainsAtOnce: false)) {
      $0.drainNanoseconds = 300_000_000
    }
    let (_, client) = try attach(server)
    let begin = monotonicNanoseconds()
    #expect(try server.stop() == 1)
    #expect(monotonicNanoseconds() - begin > 250_000_000)
    #expect(client.calls.first == "drain" && client.calls.last == "poison")
    #expect(server.hasLine("the time for draining is over"))
  }

  @Test func `a client that asks to be left alone while it is drained is not waited for`() throws {
    let server = try TestServer(FakeService(drainsAtOnce: false))
    let (connection, client) = try attach(server)
    try connection.send("D0")
    server.send(SIGTERM)
    try wait("it is drained") { client.calls.count > 1 }
    try connection.send("X0")
    #expect(try connection.line() == "refused it was left alone before it was drained")
    #expect(try connection.line() == "done 1")
    #expect(try server.end() == 0)
  }

  @Test func `whoever connected before the end is served and drained`() throws {
    let server = try TestServer(FakeService(drainsAtOnce: false))
    let (_, first) = try attach(server)
    let late = try server.connect()
    try late.send("TES")
    usleep(20_000)
    server.send(SIGTERM)
    try server.waitForLine("no new clients")
    try late.send("TA1", [TestUffd.make()])
    _ = try late.line()
    #expect(try late.line() == "done 2")
    let second = try #require(server.service.fakes.last)
    try wait("it is drained") { second.calls.first == "drain" }
    first.end(.drained(poisoned: 0))
    second.end(.drained(poisoned: 0))
    #expect(try server.end() == 0)
  }

  @Test func `whoever could connect is served, however near the end was`() throws {
    for round in 0..<20 {
      let server = try TestServer()
      let strange = Mutex<[String]>([])
      let served = Atomic(0)
      let threads = try (0..<4).map { _ in
        try KernelThread("test-client") {
          while let client = try? server.connect() {
            do {
              try client.send("TESTA1", [TestUffd.make()])
              let (hello, done) = (try client.line(), try client.line())
              if hello != "hello" || done?.hasPrefix("done ") != true {
                strange.withLock { $0.append("\(hello ?? "end") \(done ?? "end")") }
              }
              served.add(1, ordering: .relaxed)
            } catch {
              strange.withLock { $0.append("\(error)") }
            }
          }
        }
      }
      try wait("some are served") { served.load(ordering: .relaxed) > round }
      #expect(try server.stop() == 0)
      for thread in threads { thread.join() }
      #expect(strange.withLock { $0 } == [])
    }
  }

  @Test func `an unfinished handshake delays the end by a moment`() throws {
    let server = try TestServer { $0.handshakeNanoseconds = 60_000_000_000 }
    let silent = try server.connect()
    try silent.send("TES")
    usleep(20_000)
    let begin = monotonicNanoseconds()
    #expect(try server.stop() == 0)
    #expect(monotonicNanoseconds() - begin < 10_000_000_000)
    #expect(try silent.isClosed())
  }

  @Test func `SIGHUP reads nothing again and says so`() throws {
    let server = try TestServer()
    server.send(SIGHUP)
    try server.waitForLine("SIGHUP: there is nothing to read again")
    let (_, client) = try attach(server)
    #expect(client.calls.isEmpty)
    #expect(try server.stop() == 0)
  }

  @Test func `the command finds the socket, and its code is the server's`() throws {
    let server = try TestServer(listens: false) {
      $0.command = "test -S \"$UFFDHOST_SOCKET\" && test -z \"$NOTIFY_SOCKET\" && exit 7; exit 8"
    }
    #expect(try server.end() == 7)
  }

  @Test func `when the command has ended the others are drained, in their own time`() throws {
    let server = try TestServer(FakeService(drainsAtOnce: false)) {
      $0.command = "while ! test -e \"$UFFDHOST_SOCKET.go\"; do sleep 0.01; done; exit 3"
      $0.drainNanoseconds = 100_000_000
    }
    let (_, client) = try attach(server)
    try server.scratch.file("s.go", "")
    try wait("it is drained") { client.calls.contains("drain") }
    usleep(300_000)
    #expect(server.isRunning && !client.calls.contains("poison"))
    client.end(.drained(poisoned: 0))
    #expect(try server.end() == 3)
  }

  @Test func `a signal goes to the command, too, and its end is waited for`() throws {
    let server = try TestServer {
      $0.command = "trap 'sleep 0.2; exit 5' TERM; while :; do sleep 0.01; done"
    }
    usleep(100_000)
    #expect(try server.stop() == 5)
  }

  @Test func `a command that a signal ends has the shell's code, and a stubborn one is left`()
    throws
  {
    let killed = try TestServer(listens: false) { $0.command = "kill -KILL $$" }
    #expect(try killed.end() == 137)
    let stubborn = try TestServer {
      $0.command = "trap '' TERM; sleep 20"
      $0.drainNanoseconds = 200_000_000
    }
    usleep(100_000)
    let begin = monotonicNanoseconds()
    #expect(try stubborn.stop() == 1)
    #expect(monotonicNanoseconds() - begin < 10_000_000_000)
  }
}

// SPDX-License-Identifier: Apache-2.0
// Many userfaultfds over one connection, of processes that did not connect: each is a session of its own.
import CLinux
import Glibc
import Synchronization
import TestSupport
import Testing
import UffdHost

@testable import UffdServer

@Suite(.enabled(if: TestUffd.isPossible, "no userfaultfd can be opened here"))
struct SeveralTests {
  /// No process has it: it is one more than the highest (PID_MAX_LIMIT).
  private static let nobody: Int32 = 1 << 22

  private func start(
    _ service: FakeService = FakeService(), _ change: (inout ServerOptions) -> Void = { _ in }
  ) throws -> (TestServer, TestConnection) {
    let server = try TestServer(
      service, speaking: [ServerTestDialect.self, RestorerTestDialect.self], change)
    return (server, try server.connect())
  }

  private func hand(_ connection: TestConnection, _ pid: Int32, _ uffd: Descriptor) throws {
    try connection.send(RestorerTestDialect.request(pid), [uffd])
  }

  private func waitForClients(_ server: TestServer, _ count: Int) throws {
    try wait("\(count) clients are served") { server.service.fakes.count == count }
  }

  /// Which process a pidfd is of (pidfd_show_fdinfo).
  private func process(of pidfd: Descriptor?) -> Int32? {
    guard let pidfd, let text = ReceivedUffd.readSmallFile("/proc/self/fdinfo/\(pidfd.fd)"),
      let line = text.split(separator: "\n").first(where: { $0.hasPrefix("Pid:") })
    else { return nil }
    return Int32(line.dropFirst(5))
  }

  @Test func `each is a session of the process that was named`() throws {
    let (server, connection) = try start(FakeService(drainsAtOnce: false))
    let pids = [getppid(), getpid(), getppid()]
    for pid in pids { try hand(connection, pid, TestUffd.make()) }
    try waitForClients(server, 3)
    let fakes = server.service.fakes
    #expect(fakes.map(\.identity.pid) == pids)
    #expect(fakes.map { process(of: $0.identity.pidfd) } == pids)
    #expect(fakes.allSatisfy { $0.identity.uid == geteuid() && $0.identity.dialect == "restorer" })
    try server.waitForLine("client 1 (pid \(getppid()), restorer): serving 1 MiB in 1 regions")
    // One ends, the others are served, and more may come.
    fakes[0].end(.gone)
    try server.waitForLine("client 1 (pid \(getppid()), restorer): its memory is gone")
    try hand(connection, getpid(), TestUffd.make())
    try waitForClients(server, 3)
    #expect(fakes.allSatisfy { $0.calls.isEmpty })
    server.send(SIGTERM)
    let rest = server.service.fakes
    try wait("all are drained") { rest.allSatisfy { $0.calls.first == "drain" } }
    for fake in rest { fake.end(.drained(poisoned: 0)) }
    #expect(try server.end() == 0)
    #expect(server.hasLine("4 clients were served, 0 connections refused"))
  }

  @Test func `the end of the connection ends none of them`() throws {
    let server: TestServer
    do {
      let connection: TestConnection
      (server, connection) = try start()
      for _ in 0..<3 { try hand(connection, getpid(), TestUffd.make()) }
    }
    try waitForClients(server, 3)
    usleep(50_000)
    #expect(server.service.fakes.count == 3 && server.service.fakes.allSatisfy { $0.calls.isEmpty })
    #expect(try server.stop() == 0)
    #expect(!server.hasLine("refused:"))
  }

  @Test func `one that is refused is kept, and the others are served`() throws {
    let (server, connection) = try start { $0.mostClients = 2 }
    let uffds = try (0..<4).map { _ in try TestUffd.make() }
    try hand(connection, getpid(), uffds[0])
    try hand(connection, Self.nobody, uffds[1])
    try hand(connection, 0, LivePipe().descriptors(1)[0])
    try hand(connection, getpid(), uffds[0])
    try hand(connection, getppid(), uffds[2])
    try waitForClients(server, 2)
    try hand(connection, getppid(), uffds[3])
    let kept = "; its missing pages will stall, and not read zero, until it ends"
    try server.waitForLine(
      "pid \(getpid()), restorer: the hand-off is refused: there is no process \(Self.nobody) whose "
        + "memory it could be: it has ended, or lives in another pid namespace" + kept)
    try server.waitForLine("the hand-off is refused: there is no process 0 whose")
    try server.waitForLine("the userfaultfd is served already, as client 1")
    try server.waitForLine(
      "pid \(getppid()), restorer: the hand-off is refused: 2 clients are served, and no more may be; "
        + "raise '--max-clients'" + kept)
    #expect(TestUffd.copies(of: uffds[1]) == 2 && TestUffd.copies(of: uffds[3]) == 2)
    #expect(server.service.fakes.count == 2 && server.service.fakes.allSatisfy { $0.calls.isEmpty })
    #expect(try server.stop() == 0)
    #expect(server.hasLine("2 clients were served, 1 connections refused"))
  }

  @Test func `what is no request closes the connection, and keeps what came with it`() throws {
    let (server, connection) = try start()
    try hand(connection, getpid(), TestUffd.make())
    try waitForClients(server, 1)
    try connection.send(RestorerTestDialect.request(getpid()))
    #expect(try connection.isClosed())
    try server.waitForLine(
      "refused: no descriptor came; the connection is closed, the memory is served on")
    let half = try TestUffd.make()
    do {
      let other = try server.connect()
      try hand(other, getpid(), TestUffd.make())
      try other.send([1, 0, 0, 0], [half])
    }
    try server.waitForLine("28 bytes and 1 descriptors that are no whole handshake; its missing")
    #expect(TestUffd.copies(of: half) == 2)
    #expect(server.service.fakes.count == 2)
    #expect(try server.stop() == 0)
  }

  @Test func `a connection has time while one of its clients is there`() throws {
    let (server, connection) = try start { $0.handshakeNanoseconds = 2_000_000_000 }
    try hand(connection, getpid(), TestUffd.make())
    try waitForClients(server, 1)
    usleep(2_500_000)
    try hand(connection, getpid(), TestUffd.make())
    try waitForClients(server, 2)
    for fake in server.service.fakes { fake.end(.gone) }
    // It has handed something over, so that there is nothing to say.
    #expect(try connection.isClosed())
    #expect(try server.stop() == 0)
    #expect(!server.hasLine("refused:"))
  }

  @Test func `one that comes while the server ends is served, too`() throws {
    let (server, connection) = try start { $0.handshakeNanoseconds = 60_000_000_000 }
    try hand(connection, getpid(), TestUffd.make())
    try waitForClients(server, 1)
    let begin = monotonicNanoseconds()
    server.send(SIGTERM)
    try server.waitForLine("no new clients, 1 to be drained")
    for _ in 0..<2 { try hand(connection, getpid(), TestUffd.make()) }
    #expect(try server.end() == 0)
    #expect(monotonicNanoseconds() - begin < 20_000_000_000)
    #expect(server.hasLine("3 clients were served, 0 connections refused"))
  }

  @Test func `a provider that does not answer about one costs the others nothing`() throws {
    let (server, connection) = try start { $0.handshakeNanoseconds = 2_000_000_000 }
    server.service.slowCount.store(1, ordering: .relaxed)
    let slow = try TestUffd.make()
    try hand(connection, getpid(), slow)
    try server.waitForLine("has not said in time whether it serves this memory; its missing pages")
    server.service.slowCount.store(0, ordering: .relaxed)
    try hand(connection, getpid(), TestUffd.make())
    try waitForClients(server, 1)
    #expect(TestUffd.copies(of: slow) == 2)
    #expect(try server.stop() == 0)
  }

  @Test func `a process is named by its own user, or by whoever is trusted`() throws {
    func peer(_ uid: UInt32) -> ClientProcess {
      ClientProcess(pid: 1, uid: uid, gid: 0, pidfd: nil)
    }
    func named(_ pid: Int32, _ uid: UInt32, isTrusted: Bool = false) -> Result<Int32, Refusal> {
      do throws(Refusal) {
        let process = try ClientProcess(named: pid, by: peer(uid), isTrusted: isTrusted)
        #expect(process.uid == geteuid() && process.gid == getegid())
        return .success(process.pid)
      } catch {
        return .failure(error)
      }
    }
    let stranger = geteuid() + 1
    #expect(named(getpid(), geteuid()) == .success(getpid()))
    #expect(named(getpid(), stranger, isTrusted: true) == .success(getpid()))
    #expect(
      named(getpid(), stranger)
        == .failure(
          Refusal("process \(getpid()), whose memory it shall be, is not of user \(stranger)")))
    for pid in [Int32.min, -1, 0, Self.nobody, .max] {
      guard case .failure(let refusal) = named(pid, 0, isTrusted: true) else {
        Issue.record("\(pid) is a process")
        continue
      }
      #expect(refusal.reason.hasPrefix("there is no process \(pid) whose"))
    }
    #expect(ClientProcess.numbers("Uid:", in: "Name:\tx\nUid:\t1\t2\t3\t4\n") == [1, 2, 3, 4])
    for text in ["", "Uid:", "Uid:\t1\t2\t3", "Uid:\t1\t2\t3\tx", "Gid:\t1\t2\t3\t4"] {
      #expect(ClientProcess.numbers("Uid:", in: text) == nil)
    }
  }
}

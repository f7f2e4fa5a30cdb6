// SPDX-License-Identifier: Apache-2.0
// What is sent in place of a userfaultfd, and what becomes of one whose hand-off is refused.
import Glibc
import TestSupport
import Testing
import UffdHost

@testable import UffdServer

@Suite(.enabled(if: TestUffd.isPossible, "no userfaultfd can be opened here"))
struct RefusedUffdTests {
  private func reason(_ descriptor: Descriptor) -> String {
    do {
      _ = try ReceivedUffd(descriptor)
      return ""
    } catch { return error.reason }
  }

  @Test func `only a userfaultfd whose handshake is done is one`() throws {
    #expect(
      reason(LivePipe().descriptors(1)[0]) == "the descriptor that was sent is no userfaultfd")
    #expect(try reason(TestUffd.make(initialised: false)).contains("call UFFDIO_API"))
    #expect(try reason(TestUffd.make(1 << 7)).contains("UFFD_FEATURE_SIGBUS"))
    #expect(try reason(TestUffd.make()) == "")
  }

  @Test func `one that blocks is made to not block`() throws {
    let uffd = try TestUffd.make()
    _ = fcntl(uffd.fd, F_SETFL, 0)
    #expect(fcntl(uffd.fd, F_GETFL) & O_NONBLOCK == 0)
    _ = try ReceivedUffd(uffd)
    #expect(fcntl(uffd.fd, F_GETFL) & O_NONBLOCK != 0)
  }

  @Test func `its events are known, and the same one is known again`() throws {
    let uffd = try TestUffd.make(1 << 3 | 1 << 6)
    let received = try ReceivedUffd(uffd)
    #expect(received.features == [.eventRemove, .eventUnmap, .initialised])
    #expect(received.untold == "moving, forking")
    #expect(try ReceivedUffd(TestUffd.copy(uffd)).identity == received.identity)
    #expect(try ReceivedUffd(TestUffd.make()).identity != received.identity)
    #expect(
      ReceivedUffd.features(in: "pos:\t0\nAPI:\taa:80000008:1ff\n") == [.eventRemove, .initialised])
    #expect(ReceivedUffd.features(in: "pos:\t0\n") == nil)
  }

  @Test func `a refused one is kept where the client cannot be told, and closed where it can`()
    throws
  {
    let server = try TestServer(FakeService(objection: "not this"))
    let told = try server.connect()
    let uffd = try TestUffd.make()
    try told.send("TESTA1", [uffd])
    _ = try told.line()
    #expect(try told.line() == "refused not this")
    let kept = try TestUffd.make()
    let mute = try server.connect()
    try mute.send("MUTEA1", [kept])
    #expect(try mute.isClosed())
    try server.waitForLine("its missing pages will stall, and not read zero, until it ends")
    #expect(TestUffd.copies(of: kept) == 2)
    #expect(TestUffd.copies(of: uffd) == 1)
    #expect(try server.stop() == 0)
    #expect(server.hasLine("end it too, unless it has a copy"))
    #expect(TestUffd.copies(of: kept) == 1)
  }

  @Test func `few are kept for one process`() throws {
    let server = try TestServer(FakeService(objection: "not this"))
    let uffds = try (0..<6).map { _ in try TestUffd.make() }
    for (index, uffd) in uffds.enumerated() {
      // One that is sent again is kept once.
      for _ in 0..<(index == 0 ? 5 : 1) {
        let mute = try server.connect()
        try mute.send("MUTEA1", [uffd])
        #expect(try mute.isClosed())
      }
    }
    try server.waitForLine("its userfaultfd is closed, for 4 of one process are kept at most")
    #expect(uffds.map { TestUffd.copies(of: $0) } == [2, 2, 2, 2, 1, 1])
    #expect(try server.stop() == 0)
  }
}

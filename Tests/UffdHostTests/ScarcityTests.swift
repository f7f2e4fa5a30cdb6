// SPDX-License-Identifier: Apache-2.0
// Clients where something is scarce: watches of epoll(7), reads that cannot wait (before Linux 6.10), and
// questions.

import CLinux
import FaultInjection
import Glibc
import Synchronization
import Testing

@testable import UffdHost

@Suite(
  "Scarcity",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct ScarcityTests {
  /// What the host says.
  private final class Lines: Sendable {
    private let list = Mutex<[String]>([])
    var sink: LogSink { { [self] _, line in list.withLock { $0.append(line) } } }
    func has(_ part: String) -> Bool { list.withLock { $0.contains { $0.contains(part) } } }
  }

  @Test(
    "a forked child that cannot be watched is tried again, and waits for its pages until then",
    arguments: [ENOSPC, ENOMEM])
  func watchedLater(_ error: Int32) async {
    await #expect(processExitsWith: .success) { [error] in
      let lines = Lines()
      let scene = try Scene(.parallel, .with { $0.log = lines.sink })
      let instance = try scene.openForClients()
      let handed = try Handed(instance, HANDED_FORK)
      // The first child's, at once and when it is tried again; then its child's.
      fault_inject_watches(4, error)
      handed.go()
      #expect(handed.wait() == 0, "the line of handed.c less one")
      #expect(fault_watches_left() == 0)
      let name = error == ENOSPC ? "ENOSPC" : "ENOMEM"
      #expect(lines.has("its userfaultfd cannot be watched (\(name)); its threads wait"))
      #expect(handed.end() == .gone)
      let areGone = eventually(seconds: 20) { scene.host.clients.all.isEmpty }
      #expect(areGone)
    }
  }

  @Test("a client that cannot be watched is refused, and may be handed over again")
  func watchedNever() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.openForClients()
      fault_inject_watches(1, ENOSPC)
      do {
        _ = try Handed(instance, HANDED_SLEEP)
        Issue.record("it is taken on, and nobody reads it")
      } catch let error as HostError {
        #expect(
          error.message.contains("cannot be watched (ENOSPC); raise fs.epoll.max_user_watches"))
      }
      #expect(scene.host.clients.all.isEmpty)
      let next = try Handed(instance, HANDED_TOUCH)
      next.go()
      #expect(next.wait() == 0, "the line of handed.c less one")
    }
  }

  @Test(
    "where preadv2(2) knows no RWF_NOWAIT of a userfaultfd it is read by its flag",
    arguments: [HANDED_TOUCH, HANDED_DISCARD, HANDED_MOVE, HANDED_FORK].map(\.rawValue))
  func readByFlag(_ scenario: Int32) async {
    await #expect(processExitsWith: .success) { [scenario] in
      let scene = try Scene()
      let instance = try scene.openForClients()
      fault_forget_nowait()
      let handed = try Handed(instance, handed_scenario(rawValue: scenario))
      // Of the client's uffd, and of one of ours: it is the kernel that is too old, and not this uffd.
      #expect(fault_nowaits() == 2)
      handed.go()
      #expect(handed.wait() == 0, "the line of handed.c less one")
      #expect(fault_nowaits() == 2, "and then it is not asked for again")
      #expect(handed.end() == .gone)
    }
  }

  @Test("a client that clears the flag is read a little later then, and others meanwhile")
  func clearsFlag() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.openForClients()
      fault_forget_nowait()
      let (handed, other) = (try Handed(instance, HANDED_TOUCH), try Handed(instance, HANDED_TOUCH))
      let flags = fcntl(handed.client.uffd.fd, F_GETFL)
      #expect(fcntl(handed.client.uffd.fd, F_SETFL, flags & ~O_NONBLOCK) == 0)
      other.go()
      #expect(other.wait() == 0, "the line of handed.c less one")
      handed.go()
      #expect(handed.wait() == 0, "the line of handed.c less one")
      #expect(fcntl(handed.client.uffd.fd, F_GETFL) & O_NONBLOCK != 0)
      #expect(fault_nowaits() == 4)
    }
  }

  @Test(
    "of one client so many faults are open, the others ask again, and there is room for a neighbour",
    .enabled(if: Machine.isOptimised, "eight thousand threads have no room beside the other tests"))
  func crowd() async {
    await #expect(processExitsWith: .success) {
      let lines = Lines()
      let scene = try Scene(
        .serial, seconds: 120,
        .with {
          $0.log = lines.sink
          $0.faultAround = .off
          $0.faultDeadlineNanoseconds = 300_000_000_000
        })
      let most = UInt64(QuestionTable.mostOfClient)
      let pages = 2 * (most + 100)
      let instance = try scene.openForClients(pages: pages)
      let crowd = try Handed(instance, HANDED_CROWD, pages: pages)
      let neighbour = try Handed(instance, HANDED_TOUCH)
      // The one worker sleeps in the first fault; the others wait for it.
      scene.state[\.gate_pgoff] = 1
      func open(_ handed: Handed) -> UInt64 { handed.client.progress.statistics.parkedNow }
      crowd.go()
      let isFull = eventually(seconds: 50) { open(crowd) >= most }
      #expect(isFull, "\(open(crowd)) are open")
      neighbour.go()
      let isHeard = eventually(seconds: 20) { open(neighbour) > 0 }
      #expect(isHeard)
      #expect(open(crowd) == most)
      #expect(lines.has("too many faults wait for their provider; the newest ask again"))
      scene.state[\.gate_open] = 1
      #expect(crowd.wait(seconds: 50) == 0, "the line of handed.c less one")
      #expect(neighbour.wait(seconds: 50) == 0, "the line of handed.c less one")
      #expect(scene.host.statistics.givenUp == 0)
    }
  }
}

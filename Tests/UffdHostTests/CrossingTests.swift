// SPDX-License-Identifier: Apache-2.0
// Clients that map one memfd, on the real kernel: a hole that one of them makes reads zero in all of them,
// whatever was on its way for another one.

import CLinux
import FaultInjection
import Glibc
import Testing

@testable import UffdHost

@Suite(
  "Clients that share a memfd", .serialized,
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct CrossingTests {
  private static let pages: UInt64 = 4_000
  private static let length = pages * 4096

  /// A memfd of the object's size, and as many mappings of it as are asked for, each served for a client of
  /// its own. All of them are of this process.
  private struct Shared {
    let memfd: Int32

    init() throws {
      memfd = unsafe clinux_memfd_create("shared", UInt32(MFD_CLOEXEC) | UInt32(MFD_ALLOW_SEALING))
      guard memfd >= 0, ftruncate(memfd, off_t(length)) == 0,
        clinux_add_seals(memfd, CLINUX_SEAL_SHRINK) == 0
      else { throw Trouble("no memfd can be made") }
    }

    func map() throws -> UnsafeMutableRawPointer {
      let memory = unsafe mmap(nil, Int(length), PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0)!
      if unsafe memory == MAP_FAILED { throw Trouble("the memfd cannot be mapped") }
      return unsafe memory
    }
  }

  /// What is put behind a hole is a stray page, and refused (SIGBUS), but where it is to be seen.
  private static func region(
    _ memory: UnsafeMutableRawPointer, showsStrays: Bool
  ) -> ClientRegion {
    ClientRegion(
      start: UInt64(UInt(bitPattern: memory)), length: length, offset: 0, sharing: .shared,
      isMinor: true, backing: 0, strayPages: showsStrays ? .areContent : .refused)
  }

  private static func watch(_ memories: UnsafeMutableRawPointer...) throws -> Userfaultfd {
    let uffd = try Userfaultfd(wanted: [.eventRemove])
    let starts = unsafe memories.map { UInt64(UInt(bitPattern: $0)) }
    for start in starts { try uffd.register(start, length: length, minor: true) }
    return uffd
  }

  private static func client(
    _ instance: Instance, _ uffd: Userfaultfd, _ shared: Shared, _ memory: UnsafeMutableRawPointer,
    showsStrays: Bool = true
  ) throws -> Client {
    try Client(
      unsafe ClientPlan(
        instance, [region(memory, showsStrays: showsStrays)],
        [Descriptor(owning: dup(shared.memfd))]),
      ClientIdentity(pid: getpid(), uid: 0, gid: 0, pidfd: nil, dialect: "test"),
      uffd: Descriptor(owning: dup(uffd.calls.fd)), onEnd: { _, _ in })
  }

  /// A host with two readers, whose COPY waits a while: the time between the last look at a page's state and
  /// its COPY, in which the hole has to come.
  private static func scene(isBroken: Bool) throws -> (Scene, Instance) {
    fault_delay_copy(20_000)
    let scene = try Scene(
      .parallel, seconds: 100,
      .with {
        $0.readers = 2
        $0.faultAround = .off
        $0.tuning.isExclusionBroken = isBroken
        $0.tuning.calls = unsafe UffdCallTable(UnsafeRawPointer(fault_injection_table()!))
      })
    let instance = try scene.host.openForClients(
      scene.provider,
      parameters: [
        Parameter("memory", "anon"), Parameter("granule", "4096"), Parameter("size", "\(length)"),
        Parameter("seed", "1"),
      ])
    return (scene, instance)
  }

  @Test("who comes with a memfd of another client is served by the same reader")
  func together() async {
    await #expect(processExitsWith: .success) {
      // They need no lock, and so there is none that could help.
      let (scene, instance) = try Self.scene(isBroken: true)
      let shared = try Shared()
      let (first, second) = unsafe (try shared.map(), try shared.map())
      let uffds = unsafe [try Self.watch(first), try Self.watch(second)]
      let clients = unsafe [
        try Self.client(instance, uffds[0], shared, first),
        try Self.client(instance, uffds[1], shared, second),
      ]
      let readers = scene.host.session.readers
      #expect([readers[0].clientCount.relaxed, readers[1].clientCount.relaxed] == [2, 0])
      let stale = unsafe client_remove_race(first, second, Self.pages)
      #expect(stale == 0, "\(stale) stale pages")
      withExtendedLifetime((clients, uffds)) {}
    }
  }

  /// Regions that come later, of a memfd that a client of another reader maps.
  private static func crossing(isBroken: Bool, hookMicroseconds: UInt64 = 0) throws -> UInt64 {
    let (scene, instance) = try scene(isBroken: isBroken)
    scene.state[\.delay_us] = hookMicroseconds
    let (shared, other) = (try Shared(), try Shared())
    let (first, second) = unsafe (try shared.map(), try shared.map())
    let own = unsafe try other.map()
    let uffds = unsafe [try watch(first), try watch(own, second)]
    let clients = unsafe [
      try client(instance, uffds[0], shared, first, showsStrays: isBroken),
      try client(instance, uffds[1], other, own),
    ]
    let readers = scene.host.session.readers
    #expect([readers[0].clientCount.relaxed, readers[1].clientCount.relaxed] == [1, 1])
    try unsafe clients[1].add(
      ClientPlan(
        instance, [region(second, showsStrays: isBroken)], [Descriptor(owning: dup(shared.memfd))],
        for: clients[1]))
    let stale = unsafe client_remove_race(first, second, pages / 2)
    // And the other way round.
    let half = Int(length / 2)
    let more = unsafe client_remove_race(second + half, first + half, pages / 2)
    withExtendedLifetime((clients, uffds)) {}
    return stale + more
  }

  /// With a hook that takes its time the hole comes while content is on its way, and is filled with zeroes by the
  /// other reader in the moment in which that content is there.
  @Test(
    "where two readers serve them, holes read zero",
    arguments: [0, 10, 20, 30, 40, 60, 100] as [UInt64])
  func crossed(_ hookMicroseconds: UInt64) async {
    await #expect(processExitsWith: .success) { [hookMicroseconds] in
      let stale = try Self.crossing(isBroken: false, hookMicroseconds: hookMicroseconds)
      #expect(stale == 0, "\(stale) stale pages")
    }
  }

  @Test("and without the exclusion they do not")
  func broken() async {
    await #expect(processExitsWith: .success) {
      let stale = try Self.crossing(isBroken: true)
      #expect(stale > 0, "no stale page: this test shows nothing any more")
    }
  }
}

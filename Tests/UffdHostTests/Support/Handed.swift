// SPDX-License-Identifier: Apache-2.0
// Another process as a client of a scene (Tests/FaultInjection/handed.c plays it).

import FaultInjection
import Glibc
import Synchronization

@testable import UffdHost

/// A process that handed its memory over, as a client of a scene.
@safe final class Handed: Sendable {
  private let process: handed
  let client: Client
  private let ends: Ends

  static let allEvents: UInt64 = 0b100_1110

  init(
    _ instance: Instance, _ scenario: handed_scenario, _ memory: handed_memory = HANDED_ANON,
    pages: UInt64 = 64, features: UInt64 = Handed.allEvents, recording: Recording? = nil
  ) throws {
    var process = handed()
    guard unsafe handed_start(&process, memory, scenario, pages, features, 1) == 0 else {
      throw Trouble("a client process cannot be started")
    }
    self.process = process
    let region = ClientRegion(
      start: process.start, length: process.length, offset: 0,
      sharing: memory == HANDED_SHARED ? .shared : .private, isMinor: memory != HANDED_ANON,
      backing: memory == HANDED_ANON ? nil : 0)
    let ends = Ends()
    client = try Client(
      ClientPlan(
        instance, [region], process.memfd >= 0 ? [Descriptor(owning: process.memfd)] : []),
      ClientIdentity(
        pid: process.pid, uid: 0, gid: 0, pidfd: Descriptor(owning: process.pidfd), dialect: "test"),
      uffd: Descriptor(owning: process.uffd), recording: recording,
      onEnd: { client, end in ends.list.withLock { $0.append((client.id, end)) } })
    self.ends = ends
  }

  final class Ends: Sendable {
    let list = Mutex<[(UInt64, Client.End)]>([])
  }

  func go() { unsafe withUnsafePointer(to: process) { unsafe handed_go($0) } }
  func awaitWord() { unsafe withUnsafePointer(to: process) { unsafe handed_await_word($0) } }
  func wait(seconds: UInt32 = 20) -> Int32 {
    unsafe withUnsafePointer(to: process) { unsafe handed_wait($0, seconds) }
  }

  /// How the client ended, within some seconds; nil: it did not.
  func end(seconds: UInt64 = 5) -> Client.End? {
    let limit = monotonicNanoseconds() + seconds * 1_000_000_000
    while monotonicNanoseconds() < limit {
      if let end = ends.list.withLock({ $0.first { $0.0 == client.id }?.1 }) { return end }
      sleepBriefly()
    }
    return nil
  }
}

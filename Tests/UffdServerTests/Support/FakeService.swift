// SPDX-License-Identifier: Apache-2.0
// A core of the tests' own: its clients end when a test says so.
import Glibc
import Synchronization
import UffdHost

@testable import UffdServer

final class FakeClient: ServedClient {
  struct State {
    var progress = ClientProgress()
    var calls: [String] = []
    var removals: [@Sendable (HostError?) -> Void] = []
  }
  let id: UInt64
  let identity: ClientIdentity
  let parent: UInt64?
  let uffd: Descriptor?
  let state = Mutex(State())
  private let service: FakeService

  init(_ id: UInt64, _ identity: ClientIdentity, _ uffd: Descriptor?, _ service: FakeService) {
    self.id = id
    self.identity = identity
    self.uffd = uffd
    self.service = service
    parent = nil
  }

  var progress: ClientProgress { state.withLock { $0.progress } }
  var calls: [String] { state.withLock { $0.calls } }

  private func note(_ call: String) { state.withLock { $0.calls.append(call) } }

  func prepare(
    _ regions: [ClientRegion], backings: [Descriptor]
  ) throws(HostError) -> Addition {
    service.ask(regions.count)
    return { self.note("add \(regions.count)") }
  }
  func remove(
    start: UInt64, length: UInt64, completion: @escaping @Sendable (HostError?) -> Void
  ) {
    note("remove")
    state.withLock { $0.removals.append(completion) }
  }
  func drain() {
    note("drain")
    if service.drainsAtOnce { end(.drained(poisoned: 0)) }
  }
  func poisonMissing() {
    note("poison")
    end(.drained(poisoned: 4096))
  }
  func detach() { note("detach") }

  func end(_ end: Client.End) { service.end(self, end) }
}

final class FakeService: Service, Sendable {
  private struct State {
    var clients: [FakeClient] = []
    var onEnd: [UInt64: @Sendable (any ServedClient, Client.End) -> Void] = [:]
    var next: UInt64 = 1
  }
  private let state = Mutex(State())
  let drainsAtOnce: Bool
  /// Why nobody is taken.
  let objection: String?

  init(drainsAtOnce: Bool = true, objection: String? = nil) {
    self.drainsAtOnce = drainsAtOnce
    self.objection = objection
  }

  var provider: String { "fake" }
  var object: ServedObject { NativeRecords.object }
  var clients: [any ServedClient] { state.withLock { $0.clients } }
  var fakes: [FakeClient] { state.withLock { $0.clients } }

  /// Of so many regions the provider says nothing before this is another number.
  let slowCount = Atomic(0)
  func ask(_ count: Int) { while slowCount.load(ordering: .relaxed) == count { usleep(1000) } }

  func prepare(
    _ regions: [ClientRegion], backings: [Descriptor]
  ) throws(HostError) -> Adoption {
    ask(regions.count)
    if let objection { throw HostError(.usage, objection) }
    return { identity, uffd, onEnd in self.adopt(identity, uffd, regions, onEnd) }
  }

  private func adopt(
    _ identity: ClientIdentity, _ uffd: Descriptor, _ regions: [ClientRegion],
    _ onEnd: @escaping @Sendable (any ServedClient, Client.End) -> Void
  ) -> any ServedClient {
    state.withLock { state in
      let client = FakeClient(state.next, identity, uffd, self)
      client.state.withLock {
        $0.progress.regions = regions.map { region in
          ClientProgress.Region(
            start: region.start, length: region.length, offset: 0, pageSize: 4096,
            residentBytes: 4096, poisonedBytes: 0, discardedBytes: 0)
        }
      }
      state.next += 1
      state.clients.append(client)
      state.onEnd[client.id] = onEnd
      return client
    }
  }

  /// As the core does it: off the list first, then told.
  func end(_ client: FakeClient, _ end: Client.End) {
    let onEnd = state.withLock { state in
      state.clients.removeAll { $0 === client }
      return state.onEnd.removeValue(forKey: client.id)
    }
    client.state.withLock { $0.progress.phase = end == .gone ? .gone : .drained }
    onEnd?(client, end)
  }
}

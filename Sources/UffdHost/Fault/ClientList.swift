// SPDX-License-Identifier: Apache-2.0
// The clients that a host serves now: for whoever reports them or lets them all go.
import Synchronization

/// Any thread may use it. Readers add the children of forks and remove what has ended.
package final class ClientList: Sendable {
  private struct State {
    var clients: [Client] = []
    /// What those did that have ended.
    var past = Statistics()
  }
  private let state = Mutex(State())

  func add(_ client: Client) { state.withLock { $0.clients.append(client) } }

  func remove(_ client: Client) {
    state.withLock { state in
      guard let index = state.clients.firstIndex(where: { $0 === client }) else { return }
      state.clients.remove(at: index)
      unsafe client.record.pointee.counters.add(to: &state.past)
    }
  }

  func add(to statistics: inout Statistics) {
    state.withLock { state in
      statistics.add(state.past)
      for client in state.clients { unsafe client.record.pointee.counters.add(to: &statistics) }
    }
  }

  /// How many came of one client by forks, itself among them.
  func count(ofFamily family: UInt64) -> Int {
    state.withLock { $0.clients.count { $0.family == family } }
  }

  /// In the order in which they came.
  package var all: [Client] { state.withLock { $0.clients } }
}

// SPDX-License-Identifier: Apache-2.0
// The reader threads of a host: started together, ended together, and asked for things from outside.

/// Owns the readers. Control threads use it; readers never see it.
final class ReaderPool: Sendable {
  private let ports: [ReaderPort]
  private let threads: [KernelThread]

  /// Starts a thread for each setup: all of them or none.
  init(_ setups: [ReaderSetup]) throws(HostError) {
    var threads: [KernelThread] = []
    for setup in setups {
      do throws(Errno) {
        threads.append(
          try KernelThread("uffd-reader-\(setup.port.index)") {
            var reader = Reader(setup)
            reader.run()
          })
      } catch {
        for (started, thread) in zip(setups, threads) {
          started.port.perform(.stop)
          thread.join()
        }
        throw HostError(.system, "a reader thread cannot be started (\(error.name))")
      }
    }
    self.threads = threads
    ports = setups.map(\.port)
  }

  /// The reader that makes changes which one reader makes for all: of the region table.
  var first: ReaderPort { ports[0] }
  var count: Int { ports.count }
  subscript(index: Int) -> ReaderPort { ports[index] }

  /// Asks every reader, one after the other.
  func performEverywhere(_ request: ControlRequest) {
    for port in ports { port.perform(request) }
  }

  /// The reader for a new client: the one that has the fewest.
  func leastLoaded() -> ReaderPort {
    ports.min { $0.clientCount.relaxed < $1.clientCount.relaxed }!
  }

  func kick(_ ticket: UInt64) {
    let reader = Int(ticket >> 24 & 0xff)
    if reader < ports.count { ports[reader].kick(ticket) }
  }

  var statistics: Statistics {
    var result = Statistics()
    for port in ports { port.counters.add(to: &result) }
    return result
  }

  func stop() {
    performEverywhere(.stop)
    for thread in threads { thread.join() }
  }
}

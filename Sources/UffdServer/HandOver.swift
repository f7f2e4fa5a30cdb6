// SPDX-License-Identifier: Apache-2.0
// Memory on its way in: the provider is asked whether it serves it (can_userfault), which may take as long as
// the provider likes. So that is done by a thread of its own for each hand-over, and the server's thread goes
// on with everybody else.
import Synchronization
import UffdHost

/// What a connection hands over while it is looked at.
struct HandOver {
  enum Kind {
    case client(ReceivedUffd, Descriptor, ClientProcess)
    case regions(of: any ServedClient)
  }
  /// Of the server, never reused.
  let number: UInt64
  /// Of the request, for its answer.
  let request: UInt64
  let kind: Kind
  let regions: [ClientRegion]
  /// When it is given up, in nanoseconds of CLOCK_MONOTONIC.
  var deadline: UInt64

  /// Of a new client: its uffd, and whose memory that is.
  var newcomer: (received: ReceivedUffd, uffd: Descriptor, process: ClientProcess)? {
    if case .client(let received, let uffd, let process) = kind {
      (received, uffd, process)
    } else {
      nil
    }
  }
}

/// Threads for hand-overs, so many at one time. One that hangs in the provider keeps its place.
final class HandOverThreads: Sendable {
  private let running = Atomic(0)
  private let most: Int

  init(most: Int) { self.most = most }

  /// Throws where there is no thread left for it.
  func start(_ body: @escaping @Sendable () -> Void) throws(Refusal) {
    guard running.add(1, ordering: .relaxed).newValue <= most else {
      running.subtract(1, ordering: .relaxed)
      throw Refusal(
        "the provider has not said of \(most) others yet whether it serves their memory")
    }
    do {
      try KernelThread("uffd-hand-over") { [self] in
        body()
        running.subtract(1, ordering: .relaxed)
      }.detach()
    } catch {
      running.subtract(1, ordering: .relaxed)
      throw Refusal("there is no thread to look at it (\(error.name))")
    }
  }
}

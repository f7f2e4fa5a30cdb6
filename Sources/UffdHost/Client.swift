// SPDX-License-Identifier: Apache-2.0

/// One client: a process that handed its userfaultfd over. Its regions are served until it ends, is drained, or
/// asks to be left alone. All members may be called from any thread but a reader.
package final class Client: Sendable {
  /// How serving a client ended.
  package enum End: Sendable, Equatable {
    /// Its memory is gone: it exited, or executed another program.
    case gone
    /// Every page is there (or poisoned), and nothing is watched any more. `poisoned` counts bytes.
    case drained(poisoned: UInt64)
    /// The host took its readers down.
    case stopped
  }

  /// Unique in this process, never reused.
  package let id: UInt64
  package let identity: ClientIdentity

  /// Serves what a client handed over. The uffd's handshake is done and its ranges are registered. Owns `uffd` and
  /// `backings` from now on, whether it throws or not.
  ///
  /// `onEnd` is called once, on a reader: it must only ring a bell.
  ///
  /// Throws `.usage` for regions that cannot be served, with the reason; nothing is served then.
  package init(
    _ instance: Instance, _ identity: ClientIdentity, uffd: Descriptor, regions: [ClientRegion],
    backings: [Descriptor] = [], onEnd: @escaping @Sendable (Client, End) -> Void
  ) throws(HostError) {
    id = 0
    self.identity = identity
    throw HostError(.system, "other processes are not served yet")
  }

  /// More regions of the same uffd. All of them or none.
  package func add(_ regions: [ClientRegion], backings: [Descriptor] = []) throws(HostError) {}

  /// Fills what is missing in [start, start + length), stops watching it, and calls `completion` on a reader with
  /// nil or what went wrong. The range begins and ends with regions.
  package func remove(
    start: UInt64, length: UInt64, completion: @escaping @Sendable (HostError?) -> Void
  ) {}

  /// Fills everything, then stops watching; ends with `.drained`. Asked twice is asked once.
  package func drain() {}

  /// Poisons what is still missing (or kills the client where the kernel cannot poison), then stops watching; ends
  /// with `.drained`.
  package func poisonMissing() {}

  /// Stops serving and keeps the uffd open until the client ends, so that missing pages stall and never read zero.
  package func detach() {}

  package var progress: ClientProgress { ClientProgress() }
}

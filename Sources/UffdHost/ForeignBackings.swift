// SPDX-License-Identifier: Apache-2.0
// The memfds that clients handed over, by which file they are: clones that map one file share its pages. Any
// thread, but not the fault path.
import Synchronization

/// Those that clients map now, and what is remembered of others.
///
/// A file outlives its clients if somebody else holds it. What this server has put into it is content for the
/// next client, too, and the kernel does not say who put a page there. So the page states of a file are kept
/// when its last client has ended. They cost two bits a page, where a descriptor would keep all of the file's
/// memory.
///
/// Without a descriptor the kernel may give the number of the file to another one: of shmem it never does, of
/// hugetlb after four billion files. A new file is empty, and an empty file is remembered nothing of.
final class ForeignBackings: Sendable {
  private struct Entry {
    /// Nil: its clients have ended.
    weak var backing: Backing?
    let states: Mapping
    let pages: UInt64
    /// Which one was handed over later.
    let number: UInt64
  }
  private struct State {
    var entries: [FileIdentity: Entry] = [:]
    var next: UInt64 = 0
  }
  private let state = Mutex(State())

  /// How many files without clients are remembered, and the bytes of their tables together: for 256 GiB of
  /// 4 KiB pages.
  static let most = 256
  static let mostBytes = 16 << 20

  /// The one that clients map already.
  func served(_ identity: FileIdentity) -> Backing? {
    state.withLock { $0.entries[identity]?.backing }
  }

  /// The one that clients map already, or a new one of `pages` pages, which `make` makes with these states.
  func backing(
    _ file: MemoryFile, pages: UInt64, _ make: (Mapping) throws(HostError) -> Backing
  ) throws(HostError) -> Backing {
    let identity = file.identity
    // Two clients may hand over one file at one moment, so it is made with the list held.
    return try state.withLock { state throws(HostError) in
      let entry = state.entries[identity]
      if let known = entry?.backing { return known }
      let states = try Self.states(pages, after: file.isEmpty ? nil : entry)
      let backing = try make(states)
      state.entries[identity] = Entry(
        backing: backing, states: states, pages: pages, number: state.next)
      state.next += 1
      Self.forget(&state)
      return backing
    }
  }

  private static func states(_ pages: UInt64, after entry: Entry?) throws(HostError) -> Mapping {
    let states: Mapping
    do {
      states = try Mapping.table(PageStates.bytes(for: pages))
    } catch {
      throw HostError(
        .system, "the page states of \(pages) granules do not fit into memory (\(error.name))")
    }
    guard let entry else { return states }
    let earlier = unsafe PageStates(entry.states.base, count: entry.pages)
    let now = unsafe PageStates(states.base, count: pages)
    for page in 0..<min(pages, entry.pages) {
      let state = earlier.backing(page)
      // What is being filled nobody fills any more.
      if state != .absent, state != .filling { now.set(page, state) }
    }
    return states
  }

  /// The oldest of those without clients, as far as there are too many.
  private static func forget(_ state: inout State) {
    let idle = state.entries.filter { $0.value.backing == nil }
      .sorted { $0.value.number < $1.value.number }
    var (count, bytes) = (idle.count, idle.reduce(0) { $0 + $1.value.states.length })
    for (identity, entry) in idle where count > most || bytes > mostBytes {
      state.entries[identity] = nil
      count -= 1
      bytes -= entry.states.length
    }
  }
}

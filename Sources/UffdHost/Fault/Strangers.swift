// SPDX-License-Identifier: Apache-2.0
// Faults of a client in memory that it has not handed over: places
// where regions were, and pages that wait until it says what they are. Its reader's own.

/// What a reader knows of a client's other memory.
struct Strangers {
  /// Places that regions were unmapped from, and that no region has taken since. Memory that is mapped
  /// there now is other memory: nothing has grown.
  private var left: [Range<UInt64>] = []
  private struct Page {
    let page: UInt64
    /// When the first fault on it came, in nanoseconds of CLOCK_MONOTONIC.
    let since: UInt64
    var due: UInt64
    var isAsleep = true
  }
  /// Pages on which threads sleep, or slept a moment ago.
  private var waiting: [Page] = []

  private static let mostPlaces = 1024
  private static let mostPages = 64
  private static let patience: UInt64 = 5_000_000

  /// A region was there.
  mutating func leave(_ range: Range<UInt64>) {
    left.removeAll { range.lowerBound <= $0.lowerBound && $0.upperBound <= range.upperBound }
    left.append(range)
    guard left.count > Self.mostPlaces else { return }
    // One place that holds all: what is in doubt has not grown.
    left = [left.map(\.lowerBound).min()!..<left.map(\.upperBound).max()!]
  }

  /// A region is there now.
  mutating func take(_ range: Range<UInt64>) {
    left = left.flatMap { place -> [Range<UInt64>] in
      guard place.overlaps(range) else { return [place] }
      return [
        place.lowerBound..<max(place.lowerBound, range.lowerBound),
        min(place.upperBound, range.upperBound)..<place.upperBound,
      ].filter { !$0.isEmpty }
    }
  }

  func wasLeft(_ address: UInt64) -> Bool { left.contains { $0.contains(address) } }

  /// A thread sleeps on a page that may be handed over any moment; false: too many do.
  mutating func await(_ page: UInt64, _ now: UInt64) -> Bool {
    if let place = waiting.firstIndex(where: { $0.page == page }) {
      waiting[place].due = now + Self.patience
      waiting[place].isAsleep = true
      return true
    }
    guard waiting.count < Self.mostPages else { return false }
    waiting.append(Page(page: page, since: now, due: now + Self.patience))
    return true
  }

  /// The pages that are to be woken now, and those on which somebody has slept for `deadline` nanoseconds
  /// in vain. A page that nobody asks for again until then is forgotten.
  mutating func takeDue(_ now: UInt64, _ deadline: UInt64) -> (again: [UInt64], over: [UInt64]) {
    var again: [UInt64] = []
    var over: [UInt64] = []
    for index in waiting.indices.reversed() where now >= waiting[index].due {
      let page = waiting[index]
      if page.isAsleep, now - page.since < deadline {
        again.append(page.page)
        waiting[index].isAsleep = false
        waiting[index].due = page.since + deadline
      } else {
        if page.isAsleep { over.append(page.page) }
        waiting.remove(at: index)
      }
    }
    return (again, over)
  }

  /// Since when each of them is waited for, in nanoseconds of CLOCK_MONOTONIC.
  var moments: [UInt64] { waiting.filter(\.isAsleep).map(\.since) }

  /// When something is due, in nanoseconds of CLOCK_MONOTONIC; nil: nothing.
  var next: UInt64? { waiting.map(\.due).min() }
}

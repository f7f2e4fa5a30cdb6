// SPDX-License-Identifier: Apache-2.0
// The one exclusion of the host. Reading the uffd and applying its events excludes checking a page's
// state and installing it: otherwise a reader that has checked "not discarded" may install the
// provider's bytes after another reader has read the discard, and the client reads what it gave back.
// There is no repair afterwards. Nothing else may make a reader wait.

/// A reader-writer lock of one word. Installs share it, reading excludes. Held for one batch of messages
/// or one bounded ioctl, so waiting is a short spin, then sched_yield(2).
@safe struct Exclusion: @unchecked Sendable {
  enum Mode: Sendable {
    /// One reader: the thread that reads is the thread that installs, and no lock is needed.
    case oneReader
    /// Several readers.
    case severalReaders
    /// Several readers and no exclusion: exists so that a test can show the corruption.
    case brokenForTest
  }

  private let word: AtomicWord?
  /// Only the thread that asks reads the uffd, installs, and changes the states of pages.
  let isNone: Bool
  private static let exclusive: UInt64 = 1 << 63

  init(_ word: AtomicWord, _ mode: Mode) {
    self.word = mode == .severalReaders ? word : nil
    isNone = mode == .oneReader
  }
  private init() {
    word = nil
    isNone = true
  }

  /// For a session that one reader serves, with all that it shares pages with: of a client, as a rule.
  static let none = Exclusion()

  @inline(__always)
  func beginInstall() {
    if let word { shareSlowly(word) }
  }
  @inline(__always)
  func endInstall() {
    if let word { word.add(~0) }
  }
  @inline(__always)
  func beginReading() {
    if let word { excludeSlowly(word) }
  }
  @inline(__always)
  func endReading() {
    if let word { word.release(0) }
  }

  @inline(never)
  private func shareSlowly(_ word: AtomicWord) {
    var spins = 0
    while true {
      var found = word.relaxed
      if found & Self.exclusive == 0, word.compareExchange(&found, found + 1) { return }
      wait(&spins)
    }
  }

  @inline(never)
  private func excludeSlowly(_ word: AtomicWord) {
    var spins = 0
    while true {
      var free: UInt64 = 0
      if word.compareExchange(&free, Self.exclusive) { return }
      wait(&spins)
    }
  }

  private func wait(_ spins: inout Int) {
    spins += 1
    if spins % 64 == 0 { yieldThread() } else { spinHint() }
  }
}

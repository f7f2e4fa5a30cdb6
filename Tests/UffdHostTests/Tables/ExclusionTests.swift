// SPDX-License-Identifier: Apache-2.0
// The lock behind the one exclusion: installs share it, reading has it alone.

import Testing

@testable import UffdHost

@Suite("The exclusion")
struct ExclusionTests {
  /// A lock word and what the threads under the lock see of each other.
  @safe private final class Ground: @unchecked Sendable {
    let words: UnsafeMutablePointer<UInt64>
    init() {
      unsafe words = .allocate(capacity: 4)
      unsafe words.initialize(repeating: 0, count: 4)
    }
    deinit { unsafe words.deallocate() }
    func word(_ index: Int) -> AtomicWord { unsafe AtomicWord(words + index) }
  }

  /// Threads install and read; how often a reader met an install or another reader, and two installs met.
  private func meetings(_ mode: Exclusion.Mode) throws -> (forbidden: UInt64, lock: UInt64) {
    let ground = Ground()
    try onThreads(4) { thread in
      let exclusion = Exclusion(ground.word(0), mode)
      let (installs, readers, forbidden) = (ground.word(1), ground.word(2), ground.word(3))
      for round in 0..<5_000 {
        if (round + thread) % 3 == 0 {
          exclusion.beginReading()
          if readers.add(1) > 0 || installs.acquired > 0 { forbidden.add(1) }
          // Where there is one CPU for all, too, somebody else runs now.
          yieldThread()
          if installs.acquired > 0 { forbidden.add(1) }
          readers.add(~0)
          exclusion.endReading()
        } else {
          exclusion.beginInstall()
          installs.add(1)
          if readers.acquired > 0 { forbidden.add(1) }
          yieldThread()
          installs.add(~0)
          exclusion.endInstall()
        }
      }
    }
    return (ground.word(3).acquired, ground.word(0).acquired)
  }

  @Test("with several readers, reading never meets an install or another reading")
  func excludes() throws {
    let (forbidden, lock) = try meetings(.severalReaders)
    #expect(forbidden == 0)
    #expect(lock == 0)
  }

  @Test("the broken mode, which a test uses to show the corruption, excludes nothing")
  func broken() {
    let ground = Ground()
    let exclusion = Exclusion(ground.word(0), .brokenForTest)
    // With the exclusion, reading would wait here for ever.
    exclusion.beginInstall()
    exclusion.beginReading()
    #expect(ground.word(0).acquired == 0)
    exclusion.endReading()
    exclusion.endInstall()
    #expect(ground.word(0).acquired == 0)
  }

  @Test("installs share it")
  func shares() throws {
    let ground = Ground()
    let (lock, inside) = (ground.word(0), ground.word(1))
    let exclusion = Exclusion(lock, .severalReaders)
    exclusion.beginInstall()
    let other = try KernelThread("other") {
      let exclusion = Exclusion(ground.word(0), .severalReaders)
      exclusion.beginInstall()
      ground.word(1).add(1)
      exclusion.endInstall()
    }
    #expect(eventually { inside.acquired == 1 })
    other.join()
    exclusion.endInstall()
    #expect(lock.acquired == 0)
  }

  @Test("one reader needs no lock and takes none")
  func oneReader() {
    let ground = Ground()
    let exclusion = Exclusion(ground.word(0), .oneReader)
    exclusion.beginReading()
    exclusion.beginInstall()
    #expect(ground.word(0).acquired == 0)
    exclusion.endInstall()
    exclusion.endReading()
    #expect(ground.word(0).acquired == 0)
  }
}

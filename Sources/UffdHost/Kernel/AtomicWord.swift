// SPDX-License-Identifier: Apache-2.0
// Atomic access to 64-bit words in raw memory: page states, counters, flags that several threads see.
// `Synchronization.Atomic` cannot live in memory that mmap gave us.
import CLinux

/// A 64-bit word in raw memory with atomic access. A view: it owns nothing.
@safe struct AtomicWord {
  private let word: UnsafeMutablePointer<UInt64>

  @inline(__always)
  init(_ word: UnsafeMutablePointer<UInt64>) { unsafe self.word = word }

  @inline(__always)
  var relaxed: UInt64 {
    get { unsafe clinux_load_relaxed(word) }
    nonmutating set { unsafe clinux_store_relaxed(word, newValue) }
  }
  @inline(__always)
  var acquired: UInt64 { unsafe clinux_load_acquire(word) }

  @inline(__always)
  func release(_ value: UInt64) { unsafe clinux_store_release(word, value) }

  /// Replaces `expected` by `desired`; on failure `expected` becomes the value found.
  @inline(__always)
  func compareExchange(_ expected: inout UInt64, _ desired: UInt64) -> Bool {
    unsafe clinux_compare_exchange(word, &expected, desired) != 0
  }
  @inline(__always) @discardableResult
  func add(_ value: UInt64) -> UInt64 { unsafe clinux_fetch_add(word, value) }
  @inline(__always) @discardableResult
  func exchange(_ value: UInt64) -> UInt64 { unsafe clinux_exchange(word, value) }
}

/// Tells the CPU that this thread spins (PAUSE).
@inline(__always)
func spinHint() { clinux_relax() }

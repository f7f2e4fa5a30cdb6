// SPDX-License-Identifier: Apache-2.0
// What a reader counts. One writer, any number of readers: relaxed stores, no locked instruction.

/// The counters of one reader, in raw memory that outlives it.
@safe struct Counters: @unchecked Sendable {
  enum Name: Int, CaseIterable {
    case missing, minor, wp, copied, zeroed, continued, poisoned, published, provided
    case alreadyPresent, around, putOff, discarded, providerErrors, violations, givenUp, parkedNow
    case providerNanoseconds, kernelNanoseconds, samples
  }
  private let words: UnsafeMutablePointer<UInt64>

  static var bytes: UInt64 { UInt64(Name.allCases.count * 8) }

  /// `memory` holds `bytes` zero bytes.
  init(_ memory: UnsafeMutableRawPointer) {
    unsafe words = unsafe memory.assumingMemoryBound(to: UInt64.self)
  }

  /// Adds to a counter. Only its own reader calls this.
  @inline(__always)
  func add(_ name: Name, _ value: UInt64 = 1) {
    let word = unsafe AtomicWord(words + name.rawValue)
    word.relaxed = word.relaxed &+ value
  }
  @inline(__always)
  func set(_ name: Name, _ value: UInt64) {
    unsafe AtomicWord(words + name.rawValue).relaxed = value
  }
  func get(_ name: Name) -> UInt64 { unsafe AtomicWord(words + name.rawValue).relaxed }

  /// Adds these counters to a snapshot.
  func add(to statistics: inout Statistics) {
    statistics.faults.missing += get(.missing)
    statistics.faults.minor += get(.minor)
    statistics.faults.wp += get(.wp)
    statistics.installed.copied += get(.copied)
    statistics.installed.zeroed += get(.zeroed)
    statistics.installed.continued += get(.continued)
    statistics.installed.poisoned += get(.poisoned)
    statistics.publishedBytes += get(.published)
    statistics.providedBytes += get(.provided)
    statistics.alreadyPresent += get(.alreadyPresent)
    statistics.installedAround += get(.around)
    statistics.putOff += get(.putOff)
    statistics.discarded += get(.discarded)
    statistics.providerErrors += get(.providerErrors)
    statistics.providerViolations += get(.violations)
    statistics.givenUp += get(.givenUp)
    statistics.parkedNow += get(.parkedNow)
    statistics.sampledProviderNanoseconds += get(.providerNanoseconds)
    statistics.sampledKernelNanoseconds += get(.kernelNanoseconds)
    statistics.samples += get(.samples)
  }
}

// SPDX-License-Identifier: Apache-2.0
// What loading the library did to this process: taken once, by the child, for a check to read.

final class EntryReading: @unchecked Sendable {
  static let shared = EntryReading()
  private(set) var before: ProcessState?
  private(set) var after: ProcessState?
  private(set) var nanoseconds: UInt64 = 0

  func set(before: ProcessState, after: ProcessState, since start: UInt64) {
    self.before = before
    self.after = after
    nanoseconds = Watchdog.now() - start
  }
}

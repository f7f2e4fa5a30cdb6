// SPDX-License-Identifier: Apache-2.0
// What loading the library did to this process: taken once, by the child, for a check to read.
import CHookTrap

final class EntryReading: @unchecked Sendable {
  static let shared = EntryReading()
  private(set) var before: ProcessState?
  private(set) var after: ProcessState?
  private(set) var nanoseconds: UInt64 = 0
  /// Of the whole process, before the first hook was called.
  private(set) var surroundings: UInt64 = 0
  private(set) var signalHandlers: [UInt64] = []

  func set(before: ProcessState, after: ProcessState, since start: UInt64) {
    self.before = before
    self.after = after
    surroundings = hook_trap_process_state()
    signalHandlers = (1..<65).map { hook_trap_signal_handler(Int32($0)) }
    nanoseconds = Watchdog.now() - start
  }
}

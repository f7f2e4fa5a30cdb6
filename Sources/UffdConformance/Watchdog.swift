// SPDX-License-Identifier: Apache-2.0
// Ends the child when a check takes too long, and says which hook has not returned.
import CHookTrap
import CLinux
import Glibc

/// Runs beside one check.
@safe final class Watchdog: @unchecked Sendable {
  private let lock = Lock()
  private var isStopped = false
  private var thread: WorkerThread?

  static func now() -> UInt64 { clinux_now() }

  init(seconds: Int, fd: Int32) {
    let limit = clinux_now() + UInt64(seconds) * 1_000_000_000
    thread = try? WorkerThread { [self] in
      lock.held {
        while !isStopped, clinux_now() < limit { lock.wait(nanoseconds: 1_000_000_000) }
        if isStopped { return }
        var names = [CChar](repeating: 0, count: 512)
        unsafe hook_trap_running(&names, UInt64(names.count))
        let end = names.firstIndex(of: 0) ?? 0
        let text = String(
          decoding: names[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        hook_trap_disarm()
        ChildLine.hang(hooks: text).send(fd)
        _exit(97)
      }
    }
  }

  func stop() {
    lock.held {
      isStopped = true
      lock.signal()
    }
    thread?.join()
  }
}

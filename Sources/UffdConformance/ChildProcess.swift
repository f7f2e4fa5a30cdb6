// SPDX-License-Identifier: Apache-2.0
// A child of the suite, and the pipe that its lines come through. Used by one thread.
import CHookTrap
import CLinux
import Glibc
import UffdHost

final class ChildProcess {
  private let pid: Int32
  private let fd: Int32
  private var buffer: [UInt8] = []

  /// The corresponding C call is posix_spawn(3).
  init(_ program: String, _ arguments: [String]) throws(HostError) {
    var (readEnd, writeEnd) = (Int32(-1), Int32(-1))
    guard unsafe hook_trap_pipe(&readEnd, &writeEnd) == 0 else {
      throw HostError(.system, "a pipe to a checking process cannot be made; close descriptors")
    }
    var strings = unsafe arguments.map { unsafe strdup($0) }
    unsafe strings.append(nil)
    pid = unsafe hook_trap_spawn(program, strings, writeEnd)
    for index in unsafe strings.indices { unsafe free(strings[index]) }
    close(writeEnd)
    fd = readEnd
    if pid < 0 {
      close(readEnd)
      throw HostError(.system, "a checking process cannot be started from '\(program)'")
    }
  }

  /// Hands out each line. Ends when the child has, or when it says nothing for too long (then it is killed).
  func read(idleLimit: UInt64, _ body: (ChildLine) -> Void) {
    var lastWord = clinux_now()
    var code: Int32 = 0
    while true {
      // Another process of ours may hold the pipe open: its end alone is no sign.
      let hasEnded = unsafe hook_trap_ended(pid, &code)
      if hasEnded != 0 { end = (hasEnded, code) }
      let isOpen = take(body, &lastWord, patience: hasEnded != 0 ? 0 : 50_000_000)
      if hasEnded != 0 || !isOpen { break }
      if clinux_now() - lastWord > idleLimit { hook_trap_kill(pid) }
    }
  }

  private var end: (kind: Int32, code: Int32)?

  /// Reads what is there. False at the end of the pipe.
  private func take(
    _ body: (ChildLine) -> Void, _ lastWord: inout UInt64, patience: Int64
  ) -> Bool {
    var patience = patience
    while true {
      var wait = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
      guard unsafe clinux_poll(&wait, 1, patience) > 0 else { return true }
      patience = 0
      var room = [UInt8](repeating: 0, count: 65536)
      let count = unsafe Glibc.read(fd, &room, room.count)
      if count <= 0 { return false }
      lastWord = clinux_now()
      buffer += room[..<count]
      while let newline = buffer.firstIndex(of: 10) {
        let line = String(decoding: buffer[..<newline], as: UTF8.self)
        buffer.removeSubrange(...newline)
        if let line = ChildLine(Substring(line)) { body(line) }
      }
    }
  }

  /// Waits for the end; says how it was.
  func finish() -> String {
    close(fd)
    while end == nil {
      var code: Int32 = 0
      let kind = unsafe hook_trap_ended(pid, &code)
      if kind != 0 { end = (kind, code) } else { usleep(1000) }
    }
    guard let end else { return "" }
    return end.kind == 2 ? "by signal \(end.code)" : "with code \(end.code)"
  }
}

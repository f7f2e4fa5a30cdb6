// SPDX-License-Identifier: Apache-2.0

// Commands, as a person types them. A command that hangs is ended by timeout(1), so a test ends too.

import Glibc

/// What a command printed (both streams) and how it ended.
public struct Outcome: Sendable {
  /// The exit status; 124 after a time-out, 127 if there is no such command.
  public let status: Int32
  public let output: String
}

public enum Shell {
  /// Runs `command` in `folder`; `environment` is added to that of the test.
  public static func run(
    _ command: String, in folder: String = "/", environment: [(name: String, value: String)] = [],
    seconds: Int = 120
  ) -> Outcome {
    // The backtracer of Swift can hang over a process that serves its own faults.
    let settings = environment + [(name: "SWIFT_BACKTRACE", value: "enable=no")]
    let assignments = settings.map { "\($0.name)=\(quoted($0.value)) " }.joined()
    let line =
      "cd \(quoted(folder)) && \(assignments)timeout -k 1 \(seconds) sh -c \(quoted(command)) 2>&1"
    guard let pipe = unsafe popen(line, "r") else { return Outcome(status: 127, output: "popen") }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = unsafe fread(&buffer, 1, buffer.count, pipe)
      guard count > 0 else { break }
      bytes += buffer[..<count]
    }
    let end = unsafe pclose(pipe)
    let status = end & 0x7f == 0 ? end >> 8 & 0xff : 128 + end & 0x7f
    return Outcome(status: status, output: String(decoding: bytes, as: UTF8.self))
  }

  public static func quoted(_ word: String) -> String {
    "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
      + "'"
  }

  /// Whether a command of this name can be run here.
  public static func has(_ tool: String) -> Bool {
    run("command -v \(quoted(tool))").status == 0
  }
}

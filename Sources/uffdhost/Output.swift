// SPDX-License-Identifier: Apache-2.0
// Writing: results to standard output, everything else to standard error. Any thread.
import Glibc
import UffdReport

enum Output {
  static func write(_ text: String) { write(text, to: 1) }

  /// One line of trouble.
  static func error(_ message: String) { note("uffdhost: \(message)") }

  /// One line on standard error, in one write so that lines of threads do not mix.
  static func note(_ line: String) { write(line.printable + "\n", to: 2) }

  static func write(_ text: String, to fd: Int32) {
    var text = text
    text.withUTF8 { bytes in
      var done = 0
      while done < bytes.count {
        let count = unsafe Glibc.write(fd, bytes.baseAddress! + done, bytes.count - done)
        if count < 0, errno != EINTR { return }
        done += max(0, count)
      }
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// Commands of a shell, for tests that build and run what the documents promise.

import Glibc

enum Shell {
  /// What a command said, on both streams, and its exit code (128 and more: a signal).
  struct Result {
    let status: Int32
    let output: String
  }

  /// Runs a command in a folder. After `seconds` it is killed: it must not hang a test.
  static func run(_ command: String, in folder: String, seconds: Int = 120) -> Result {
    let whole =
      "cd '\(folder)' && exec timeout -s KILL \(seconds) sh -c '\(command)' 2>&1 < /dev/null"
    guard let pipe = unsafe popen(whole, "re") else { return Result(status: 127, output: "") }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = unsafe fread(&chunk, 1, chunk.count, pipe)
      if count == 0 { break }
      bytes += chunk[..<count]
    }
    let status = unsafe pclose(pipe)
    return Result(
      status: status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f),
      output: String(decoding: bytes, as: UTF8.self))
  }

  /// Runs `body` with the path of a new folder, which goes away afterwards.
  static func withFolder(_ body: (String) throws -> Void) throws {
    var template = Array("/tmp/uffdhost-test-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw Trouble(text: "mkdtemp failed") }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { _ = run("rm -rf \"\(path)\"", in: "/") }
    try body(path)
  }

  static func write(_ text: String, to path: String) throws {
    guard let file = unsafe fopen(path, "we") else { throw Trouble(text: "cannot write \(path)") }
    defer { unsafe fclose(file) }
    guard unsafe fputs(text, file) >= 0 else { throw Trouble(text: "cannot write \(path)") }
  }

  /// Where the build put the command and the providers: beside the program that runs these tests.
  static let products: String = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let length = max(0, unsafe readlink("/proc/self/exe", &buffer, buffer.count - 1))
    let path = String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
  }()

  struct Trouble: Error { let text: String }
}

// SPDX-License-Identifier: Apache-2.0
// Reads files of /proc and /sys, which have no size and come in one read of a page or a few.

internal import Glibc

enum SmallFile {
  /// The content, or nil where it cannot be read. At most 64 KiB.
  static func text(_ path: String) -> String? {
    let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var bytes = [UInt8](repeating: 0, count: 65536)
    var length = 0
    while length < bytes.count {
      let count = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe read(fd, buffer.baseAddress! + length, buffer.count - length)
      }
      if count < 0 { return nil }
      if count == 0 { break }
      length += count
    }
    return String(decoding: bytes[..<length], as: UTF8.self)
  }

  static func lines(_ path: String) -> [Substring] {
    text(path)?.split(separator: "\n") ?? []
  }

  /// The single number a file of /sys holds; nil also for words such as "max".
  static func number(_ path: String) -> UInt64? {
    text(path).flatMap { $0.split(whereSeparator: \.isWhitespace).first }.flatMap { UInt64($0) }
  }

  /// The "Name: value" lines of a file such as /proc/self/status.
  static func fields(_ path: String) -> [String: String] {
    var fields: [String: String] = [:]
    for line in lines(path) {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let value = line[line.index(after: colon)...].drop(while: \.isWhitespace)
      fields[String(line[..<colon])] = String(value)
    }
    return fields
  }
}

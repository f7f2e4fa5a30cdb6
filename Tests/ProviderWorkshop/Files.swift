// SPDX-License-Identifier: Apache-2.0

// Folders that go away with the test, and whole files as text or bytes.

import Glibc

/// Something that a test needs did not work.
public struct Failure: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// An empty folder, removed with everything in it at the end of its life.
public final class TemporaryFolder: Sendable {
  public let path: String

  public init() throws {
    var template = Array("/tmp/uffdhost-workshop-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw Failure("mkdtemp: errno \(errno)") }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit {
    _ = Shell.run("rm -rf \(Shell.quoted(path))")
  }

  /// Writes a file and answers its path.
  @discardableResult
  public func write(_ name: String, _ content: some Collection<UInt8>) throws -> String {
    let file = "\(path)/\(name)"
    guard let stream = unsafe fopen(file, "we") else { throw Failure("\(file): errno \(errno)") }
    let bytes = Array(content)
    let count = unsafe fwrite(bytes, 1, bytes.count, stream)
    guard unsafe fclose(stream) == 0, count == bytes.count else {
      throw Failure("\(file) was not written: errno \(errno)")
    }
    return file
  }

  @discardableResult
  public func write(_ name: String, _ text: String) throws -> String {
    try write(name, Array(text.utf8))
  }
}

public enum File {
  public static func text(_ path: String) throws -> String {
    guard let stream = unsafe fopen(path, "re") else { throw Failure("\(path): errno \(errno)") }
    defer { unsafe fclose(stream) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = unsafe fread(&buffer, 1, buffer.count, stream)
      guard count > 0 else { break }
      bytes += buffer[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// A fenced block of code in a text.
public struct CodeBlock: Sendable {
  /// The word behind the fence: `sh`, `c`.
  public let language: String
  public let text: String

  /// The blocks of a Markdown text, in order.
  public static func all(in markdown: String) -> [CodeBlock] {
    var blocks: [CodeBlock] = []
    var open: (language: String, lines: [Substring])?
    for line in markdown.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("```") {
        if let block = open {
          blocks.append(
            CodeBlock(
              language: block.language, text: block.lines.map { $0 + "\n" }.joined()))
          open = nil
        } else {
          open = (String(line.dropFirst(3)), [])
        }
      } else {
        open?.lines.append(line)
      }
    }
    return blocks
  }
}

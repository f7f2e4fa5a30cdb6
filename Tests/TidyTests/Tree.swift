// SPDX-License-Identifier: Apache-2.0
// The checkout as the tidy tests see it: every file that belongs to the project, and its lines.

import Glibc

/// One text file of the checkout.
struct TextFile {
  /// Relative to the root, with slashes.
  let path: String
  let lines: [Substring]

  var folder: Substring { path[..<(path.lastIndex(of: "/") ?? path.startIndex)] }
  var name: Substring { path.split(separator: "/").last ?? "" }
  var isSwift: Bool { path.hasSuffix(".swift") }
  var isC: Bool { path.hasSuffix(".c") || path.hasSuffix(".h") }
  var isMarkdown: Bool { path.hasSuffix(".md") }

  /// The lines without what follows `//`. A `//` inside a string counts too, which is harmless here.
  var code: [Substring] {
    lines.map { line in
      guard let start = line.firstRange(of: "//") else { return line }
      return line[..<start.lowerBound]
    }
  }
}

enum Tree {
  /// The root of the package, from the place of this file when it was compiled.
  static let root = String(#filePath.split(separator: "/").dropLast(3).joined(by: "/"))

  /// Every file of ours, sorted by path.
  static let files: [TextFile] = {
    var paths: [String] = []
    walk("", &paths)
    return paths.sorted().map { TextFile(path: $0, lines: read($0).split(whereLinesEnd: true)) }
  }()

  /// Swift and C of the product: not tests, not scripts.
  static var product: [TextFile] {
    files.filter { $0.path.hasPrefix("Sources/") || $0.path.hasPrefix("Plugins/") }
  }

  static func exists(_ path: String) -> Bool { unsafe access(root + "/" + path, F_OK) == 0 }

  static func read(_ path: String) -> String {
    let fd = unsafe open(root + "/" + path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return "" }
    defer { close(fd) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe Glibc.read(fd, &chunk, chunk.count)
      if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk[..<count]
    }
  }

  /// What a build, an editor or version control keeps beside the sources.
  private static func isForeign(_ name: String) -> Bool {
    [".git", ".swiftpm", "Package.resolved"].contains(name) || name.hasPrefix(".build")
      || name.hasSuffix(".o") || name.hasSuffix(".so") || name == "core"
  }

  private static func walk(_ folder: String, _ paths: inout [String]) {
    guard let handle = unsafe opendir(root + "/" + folder) else { return }
    defer { unsafe closedir(handle) }
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { tuple in
        unsafe String(cString: UnsafeRawPointer(tuple).assumingMemoryBound(to: CChar.self))
      }
      if name == "." || name == ".." || isForeign(name) { continue }
      let path = folder.isEmpty ? name : folder + "/" + name
      if unsafe entry.pointee.d_type == UInt8(DT_DIR) {
        walk(path, &paths)
      } else {
        paths += [path]
      }
    }
  }
}

extension [Substring] {
  fileprivate func joined(by separator: String) -> String {
    map { separator + $0 }.joined()
  }
}

extension String {
  /// Lines without their ends; a last line without an end counts.
  func split(whereLinesEnd: Bool) -> [Substring] {
    var lines = split(separator: "\n", omittingEmptySubsequences: false)
    if lines.last == "" { lines.removeLast() }
    return lines
  }
}

extension StringProtocol {
  /// Whether `word` occurs and is not a part of a longer one.
  func containsWord(_ word: String) -> Bool {
    func isPart(_ character: Character?) -> Bool {
      guard let character else { return false }
      return character.isLetter || character.isNumber || character == "_"
    }
    return ranges(of: word).contains { range in
      let before = range.lowerBound == startIndex ? nil : self[index(before: range.lowerBound)]
      let after = range.upperBound == endIndex ? nil : self[range.upperBound]
      return !isPart(before) && !isPart(after)
    }
  }
}

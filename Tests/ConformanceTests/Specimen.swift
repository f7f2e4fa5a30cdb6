// SPDX-License-Identifier: Apache-2.0
// The gallery: providers in C, each of which says in its second line which rule it breaks and with which
// parameters. Compiled when a test asks for one.
import Glibc
import Testing
import UffdConformance
import UffdHost

/// One file of Tests/ConformanceTests/Gallery.
struct Specimen: Sendable, CustomTestStringConvertible {
  let name: String
  /// Ids of the checks that must find it; empty: it keeps every rule.
  let breaks: [String]
  let parameters: [Parameter]
  var testDescription: String { name }

  static let folder = URLPath.parent(#filePath) + "/Gallery"

  static let all: [Specimen] = Folder.names(folder).filter { $0.hasSuffix(".c") }.sorted().map {
    Specimen(file: $0)
  }
  static let broken = all.filter { !$0.breaks.isEmpty }
  static let good = all.filter { $0.breaks.isEmpty }

  private init(file: String) {
    name = String(file.dropLast(2))
    let text = Folder.text(Specimen.folder + "/" + file)
    let words = text.prefix(1000).split { $0.isWhitespace }.map(String.init)
    // Ids end with the full stop of the first of them that has one.
    breaks =
      words.firstIndex(of: "Breaks:").map { start in
        let ids = words[(start + 1)...]
        let last = ids.firstIndex { $0.hasSuffix(".") } ?? ids.startIndex
        return ids[...last].map { $0.hasSuffix(".") ? String($0.dropLast()) : $0 }
      } ?? []
    parameters =
      (words.firstIndex(of: "With:").map { words[($0 + 1)...].prefix { $0 != "*/" } } ?? [])
      .compactMap {
        let parts = $0.split(separator: "=", maxSplits: 1).map(String.init)
        return parts.count == 2 ? Parameter(parts[0], parts[1]) : nil
      }
  }

  /// Compiles the specimen with nothing but the header; the path of the library.
  func library() throws -> String {
    let output = "/tmp/uffdhost-specimen-\(getpid())-\(name).so"
    let include = URLPath.parent(#filePath) + "/../../Sources/UffdPluginABI/include"
    let command =
      "cc -std=c11 -Wall -Wextra -Werror -Wno-override-init -I'\(include)' -fPIC -shared "
      + "-o '\(output)' '\(Specimen.folder)/\(name).c' -lpthread"
    try #require(unsafe system(command) == 0, "\(command)")
    return output
  }

  /// Runs the suite over the specimen.
  func check(only: [String] = [], seconds: Int = 1) throws -> SuiteReport {
    let library = try library()
    defer { unsafe unlink(library) }
    var options = Suite.Options(library, parameters, seed: 5)
    options.only = only
    options.seconds = seconds
    return try Suite(options, program: Folder.built("uffdhost")).run()
  }
}

enum URLPath {
  static func parent(_ path: String) -> String {
    path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
  }
}

enum Folder {
  /// A product of this package, beside the running test bundle.
  static func built(_ name: String) -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let length = unsafe readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let path = String(
      decoding: buffer[..<max(0, length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return URLPath.parent(path) + "/" + name
  }

  static func names(_ path: String) -> [String] {
    guard let handle = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      names.append(
        unsafe withUnsafePointer(to: &entry.pointee.d_name) { tuple in
          unsafe String(cString: UnsafeRawPointer(tuple).assumingMemoryBound(to: CChar.self))
        })
    }
    return names
  }

  static func text(_ path: String) -> String {
    guard let file = unsafe fopen(path, "r") else { return "" }
    defer { unsafe fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = unsafe fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes[..<count], as: UTF8.self)
  }
}

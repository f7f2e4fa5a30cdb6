// SPDX-License-Identifier: Apache-2.0

// What a compiler makes of a header, and the ways in which a newer header breaks an older one.

import ProviderWorkshop

/// The lines that the program of a header prints, as a dictionary.
struct Layout {
  let values: [String: UInt64]

  /// Compiles and runs the program that `text` asks for, against the header `text` itself.
  init(of text: String) throws {
    let folder = try TemporaryFolder()
    try folder.write("uffd_plugin.h", text)
    try folder.write("layout.c", HeaderText(text).program)
    let run = Shell.run(
      "cc -std=c11 -Wall -Wextra -Werror -I. -o layout layout.c && ./layout", in: folder.path)
    guard run.status == 0 else { throw Failure("the header does not compile: \(run.output)") }
    var values: [String: UInt64] = [:]
    for line in run.output.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count == 2, let value = UInt64(words[1]) else { throw Failure(String(line)) }
      values[String(words[0])] = value
    }
    self.values = values
  }

  /// The names of one kind, such as `offset` or `value`.
  func names(_ kind: String) -> [String] {
    values.keys.filter { $0.hasPrefix(kind + ":") }.map { String($0.dropFirst(kind.count + 1)) }
  }

  /// Why a provider that was compiled with `self` cannot trust a host that was compiled with `newer`.
  func breaks(in newer: Layout) -> [String] {
    var breaks: [String] = []
    for (name, value) in values {
      guard let now = newer.values[name] else {
        breaks.append("\(name) is gone")
        continue
      }
      // Structs grow and the minor version counts; nothing else changes.
      let mayGrow = name.hasPrefix("size:") || name == "value:UFFD_ABI_MINOR"
      let isABI = name == "value:UFFD_ABI"
      let isKept =
        isABI ? now >> 16 == value >> 16 && now >= value : mayGrow ? now >= value : now == value
      if !isKept { breaks.append("\(name) was \(value) and is \(now)") }
    }
    for field in newer.names("offset") where values["offset:" + field] == nil {
      let type = field.prefix { $0 != "." }
      // An older peer's struct ends where it ended: what lies inside is not a field but its padding.
      guard let end = values["size:\(type)"], let offset = newer.values["offset:" + field] else {
        continue
      }
      if offset < end { breaks.append("\(field) is new and not at the end of \(type)") }
    }
    return breaks.sorted()
  }
}

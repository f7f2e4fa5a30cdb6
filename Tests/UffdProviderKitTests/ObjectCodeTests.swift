// SPDX-License-Identifier: Apache-2.0

// The fault path of the providers neither retains, nor allocates, nor checks exclusivity: read from
// the object code of a release build.

import Glibc
import Testing

struct ObjectCodeTests {
  /// Parts of the mangled names of the functions between the C table and the answer.
  private static let faultPath = [
    "ProviderKit10allocFolio", "ProviderKit8putFolio", "ProviderKit15getFolioNoalloc",
    "ProviderKit10filemapAdd", "ProviderKit13filemapRemove", "ProviderKit7discard",
    "InstanceC10allocFolio", "InstanceC8putFolio", "InstanceC15getFolioNoalloc",
    "InstanceC10filemapAdd", "InstanceC13filemapRemove", "InstanceC7discard",
    "FilemapC3add", "FilemapC6remove", "FilemapC8contains", "C6answer", "C4fill",
    "DataRunsV8granules", "V4lend",
  ]
  private static let runtime = [
    "swift_retain", "swift_release", "swift_beginAccess", "swift_allocObject", "swift_once",
    "swift_bridgeObject", "malloc",
  ]

  @Test(
    .enabled(if: isOptimised, "only a release build shows what a release build does"),
    .enabled(if: hasObjdump, "there is no objdump"), arguments: ProviderLibrary.names)
  func theFaultPathCallsNoRuntime(name: String) throws {
    let library = try ProviderLibrary(name)
    var function = ""
    var seen = Set<String>()
    for line in output(of: "objdump -d --no-show-raw-insn \(library.path)") {
      if line.hasSuffix(">:") {
        // A function that makes the text of a message may do so.
        function = line.contains("report") ? "" : line
        for name in Self.faultPath where function.contains(name) { seen.insert(name) }
      } else if Self.faultPath.contains(where: function.contains) {
        #expect(!Self.runtime.contains(where: line.contains), "\(function) \(line)")
      }
    }
    // The linker drops what is not called, but not this much.
    #expect(seen.count >= 12, "\(seen)")
  }
}

private var isOptimised: Bool {
  #if DEBUG
    false
  #else
    true
  #endif
}

private var hasObjdump: Bool { !output(of: "command -v objdump").isEmpty }

private func output(of command: String) -> [String] {
  guard let pipe = unsafe popen(command, "r") else { return [] }
  defer { unsafe pclose(pipe) }
  var lines: [String] = []
  var line: UnsafeMutablePointer<CChar>? = nil
  var capacity = 0
  while unsafe getline(&line, &capacity, pipe) >= 0, let text = unsafe line {
    lines.append(unsafe String(cString: text).trimmingSuffix(while: \.isNewline))
  }
  unsafe free(line)
  return lines
}

extension String {
  fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> String {
    var text = self[...]
    while let last = text.last, predicate(last) { text.removeLast() }
    return String(text)
  }
}

// SPDX-License-Identifier: Apache-2.0
// Who may know whom: the arrows of ARCHITECTURE.md, as tables.

import Testing

@Suite("Arrows")
struct ArrowTests {
  /// For each room the modules that its files may import, and no others. The longest matching path counts.
  private static let mayImport: [(room: String, modules: Set<String>)] = [
    ("Sources/UffdHost/", ["Synchronization", "UffdPluginABI"]),
    ("Sources/UffdHost/Kernel/", ["CLinux", "Glibc"]),
    ("Sources/UffdHost/Fault/", ["Glibc", "Synchronization", "UffdPluginABI"]),
    ("Sources/UffdHost/Provider/", ["Glibc", "Synchronization", "UffdPluginABI"]),
    ("Sources/UffdReport/", ["Glibc", "UffdHost"]),
    ("Sources/UffdWorkingSet/", ["Glibc", "Synchronization", "UffdHost", "UffdReport"]),
    (
      "Sources/UffdServer/", ["CLinux", "Glibc", "Synchronization", "UffdHost", "UffdReport"]
    ),
    ("Sources/UffdServer/Kernel/", ["CLinux", "Glibc", "Synchronization", "UffdHost"]),
    ("Sources/UffdServer/Dialects/", ["UffdHost"]),
    (
      "Sources/UffdBench/",
      ["CBench", "Glibc", "Synchronization", "UffdHost", "UffdReport"]
    ),
    ("Sources/EmptyProgram/", ["Glibc"]),
    ("Sources/UffdWorkingSet/", ["Glibc", "UffdHost", "UffdReport"]),
    ("Sources/UffdClient/", ["CUffdClient", "Glibc", "Synchronization"]),
    ("Sources/UffdDoctor/", ["CLinux", "Glibc", "KernelProbes"]),
    (
      "Sources/uffdhost/",
      [
        "Glibc", "Synchronization", "UffdBench", "UffdConformance", "UffdDoctor", "UffdHost",
        "UffdPattern", "UffdReport", "UffdServer", "UffdWorkingSet",
      ]
    ),
    (
      "Sources/UffdConformance/",
      [
        "CHookTrap", "CLinux", "Glibc", "Synchronization", "UffdHost", "UffdPluginABI",
        "UffdReport",
      ]
    ),
    ("Sources/UffdBench/", ["CBench", "Glibc", "UffdHost", "UffdReport"]),
    ("Sources/EmptyProgram/", ["Glibc"]),
    ("Sources/UffdPattern/", []),
    ("Sources/UffdProviderKit/", ["CLinux", "Glibc", "UffdPluginABI"]),
    (
      "Sources/ImageContent/",
      ["CLinux", "Glibc", "UffdPattern", "UffdPluginABI", "UffdProviderKit"]
    ),
    ("Plugins/", ["ImageContent", "UffdPluginABI", "UffdProviderKit"]),
  ]

  /// Of the core's own files, those that may speak of the contract.
  private static let mayKnowTheContract = ["Instance.swift", "Region.swift"]

  /// The only files of the core that make userfaultfd calls.
  private static let callers = [
    "Sources/UffdHost/Kernel/UffdCalls.swift", "Sources/UffdHost/Kernel/Userfaultfd.swift",
  ]

  private static func imports(_ file: TextFile) -> [String] {
    file.lines.compactMap { line in
      let words = line.split(separator: " ")
      guard let keyword = words.firstIndex(of: "import"), keyword + 1 < words.count,
        words[..<keyword].allSatisfy({ ["public", "package", "internal", "private"].contains($0) })
      else { return nil }
      return String(words[keyword + 1])
    }
  }

  @Test("every file imports only what its room may")
  func imports() {
    var checked = 0
    for file in Tree.product where file.isSwift {
      let rooms = Self.mayImport.filter { file.path.hasPrefix($0.room) }
      guard let room = rooms.max(by: { $0.room.count < $1.room.count }) else {
        Issue.record("\(file.path): no rule says what its folder may import; add one")
        continue
      }
      for module in Self.imports(file) {
        checked += 1
        #expect(room.modules.contains(module), "\(file.path) imports \(module)")
      }
      if file.folder == "Sources/UffdHost", Self.imports(file).contains("UffdPluginABI") {
        #expect(Self.mayKnowTheContract.contains(String(file.name)), "\(file.path)")
      }
    }
    #expect(checked > 50)
  }

  @Test("C knows the contract, or Linux, or neither")
  func includes() {
    for file in Tree.product where file.isC {
      for line in file.lines where line.hasPrefix("#include \"") {
        let header = line.dropFirst(10).prefix { $0 != "\"" }
        let isOwn = Tree.product.contains { $0.name == header && $0.path.hasPrefix(file.target) }
        let rooms = ["Sources/KernelProbes/", "Sources/CBench/"]
        let isOfLinux = rooms.contains(where: file.path.hasPrefix) && header == "clinux.h"
        #expect(isOwn || isOfLinux, "\(file.path) includes \(header)")
      }
    }
  }

  @Test("the layer of the kernel knows nothing of what stands on it")
  func kernelLayer() {
    var names: [String] = []
    for file in Tree.product
    where file.path.hasPrefix("Sources/UffdHost/Fault/")
      || file.path.hasPrefix("Sources/UffdHost/Provider/")
    {
      names += file.lines.compactMap(declaredType)
    }
    #expect(names.contains("Question") && names.contains("ConfiguredProvider"))
    for file in Tree.product where file.path.hasPrefix("Sources/UffdHost/Kernel/") {
      // A file's own generic parameter may have the name of a type above it.
      let names = names.filter { name in !file.code.contains { $0.contains("<\(name)>") } }
      for (index, line) in file.code.enumerated() {
        for name in names where line.containsWord(name) {
          Issue.record("\(file.path):\(index + 1) mentions \(name)")
        }
      }
    }
  }

  /// The name of a type that a line declares at the outermost level.
  private func declaredType(_ line: Substring) -> String? {
    let words = line.split(separator: " ").filter { !$0.hasPrefix("@") }
    let kinds: Set<Substring> = ["struct", "class", "enum", "protocol"]
    guard line.first != " ", let kind = words.firstIndex(where: kinds.contains),
      kind + 1 < words.count, words[..<kind].allSatisfy({ $0.allSatisfy(\.isLetter) })
    else { return nil }
    return String(words[kind + 1].prefix { $0.isLetter || $0.isNumber })
  }

  @Test(
    "userfaultfd calls are made in two files of the core, and nowhere in a provider or the command")
  func calls() {
    let rooms = [
      "Sources/UffdHost/", "Sources/uffdhost/", "Sources/UffdProviderKit/", "Sources/ImageContent/",
      "Sources/UffdReport/", "Plugins/",
    ]
    var seen: Set<String> = []
    for file in Tree.product where rooms.contains(where: file.path.hasPrefix) {
      guard file.code.contains(where: { $0.contains("clinux_uffd_") || $0.contains("ioctl(") })
      else { continue }
      // A terminal's size is asked by an ioctl too.
      if file.path == "Sources/uffdhost/Terminal.swift" { continue }
      seen.insert(file.path)
    }
    #expect(seen == Set(Self.callers))
  }

  @Test("the core and the command are two folders that differ in case")
  func caseTwins() {
    #expect(Tree.product.contains { $0.path == "Sources/UffdHost/Host.swift" })
    #expect(Tree.product.contains { $0.path == "Sources/uffdhost/Main.swift" })
  }
}

extension TextFile {
  /// The folder of the target that the file belongs to.
  fileprivate var target: String {
    path.split(separator: "/").prefix(2).map { $0 + "/" }.joined()
  }
}

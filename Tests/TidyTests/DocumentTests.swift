// SPDX-License-Identifier: Apache-2.0
// The documents say what is: files they name exist, options are understood, examples compile and run.

import Glibc
import Testing

@Suite("Documents")
struct DocumentTests {
  private static var documents: [TextFile] { Tree.files.filter(\.isMarkdown) }

  /// The lines of the first block of `language` in a document that begins with `start`.
  private func block(_ language: String, startingWith start: String = "") throws -> [Substring] {
    let readme = try #require(Self.documents.first { $0.path == "README.md" })
    var index = 0
    while let fence = readme.lines[index...].firstIndex(of: "```" + language) {
      let end = readme.lines[(fence + 1)...].firstIndex(of: "```") ?? readme.lines.endIndex
      if readme.lines[fence + 1].hasPrefix(start) { return Array(readme.lines[(fence + 1)..<end]) }
      index = end
    }
    throw Shell.Trouble(text: "README.md has no block of \(language) that begins with '\(start)'")
  }

  @Test("the documents are there")
  func documents() {
    let wanted = [
      "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "docs/kernel.md",
    ]
    for path in wanted { #expect(Tree.exists(path), "\(path)") }
  }

  @Test("every link and every file name leads somewhere")
  func links() {
    var checked = 0
    for file in Self.documents {
      let text = file.lines.joined(separator: "\n")
      for match in text.matches(of: /\]\(([^)#]+)[^)]*\)/) where !match.1.contains("://") {
        let target = file.folder.isEmpty ? String(match.1) : file.folder + "/" + match.1
        #expect(Tree.exists(target), "\(file.path) links to \(match.1)")
        checked += 1
      }
      // The tutorial and the examples name files that their reader makes.
      let isAboutUs = file.folder.isEmpty || file.path == "docs/kernel.md"
      guard isAboutUs else { continue }
      // A file is named whole, or from a folder on that the text has introduced.
      for match in text.matches(of: /[A-Za-z0-9_+.\/-]+\.(swift|c|h|md)\b/) {
        let name = match.0.hasPrefix("./") ? match.0.dropFirst(2) : match.0
        let isOurs = Tree.files.contains { $0.path == name || $0.path.hasSuffix("/" + name) }
        #expect(isOurs || Self.notOurs.contains(String(name)), "\(file.path) names \(name)")
        checked += 1
      }
      for match in text.matches(of: /\b(Sources|Plugins|Tests|scripts|docs)\/[A-Za-z0-9_\/-]+/) {
        let path = String(match.0)
        let isOurs = Tree.exists(path) || Tree.files.contains { $0.path.hasPrefix(path) }
        #expect(isOurs, "\(file.path) names \(path)")
        checked += 1
      }
    }
    #expect(checked > 50)
  }

  /// Files that documents name and that are the kernel's, or the reader's own.
  private static let notOurs = [
    "fs/userfaultfd.c", "mm/userfaultfd.c", "mm/shmem.c", "mm/hugetlb.c", "striped.c", "main.swift",
    "stdlib.h", "string.h",
  ]

  @Test("a newcomer has two commands")
  func twoCommands() throws {
    #expect(try block("sh") == ["scripts/demo", "scripts/test"])
    for script in Tree.files where script.path.hasPrefix("scripts/") || script.path == ".ci/run" {
      #expect(unsafe access(Tree.root + "/" + script.path, X_OK) == 0, "\(script.path)")
    }
  }

  @Test("the command understands every option that the documents name")
  func options() {
    let help = Shell.run("./uffdhost --help", in: Shell.products)
    #expect(help.status == 0)
    for file in Self.documents where ["README.md", "SECURITY.md"].contains(file.path) {
      for match in file.lines.joined(separator: "\n").matches(of: /(?:^|[ `(])--([a-z-]+)/) {
        #expect(help.output.contains("--\(match.1)"), "\(file.path) names --\(match.1)")
      }
    }
  }

  @Test("the provider in C compiles without a warning, and serves")
  func providerInC() throws {
    let source = try block("c", startingWith: "/* striped.c")
    #expect(source.count <= 40)
    try Shell.withFolder { folder in
      try Shell.write(source.joined(separator: "\n") + "\n", to: folder + "/striped.c")
      let compiled = Shell.run(
        "cc -std=c11 -Wall -Wextra -pedantic -Werror -fPIC -shared "
          + "-I\"\(Tree.root)/Sources/UffdPluginABI/include\" -o striped.so striped.c", in: folder)
      #expect(compiled.status == 0 && compiled.output.isEmpty, "\(compiled.output)")
      // The stripes are easy to say again: the object as a file is what it is compared with.
      let stripes = (0..<256).map { page in
        String(repeating: page % 2 == 0 ? "." : "#", count: 4096)
      }
      try Shell.write(stripes.joined(), to: folder + "/stripes")
      let served = Shell.run(
        "\"\(Shell.products)/uffdhost\" --provider ./striped.so pages=256 --verify stripes",
        in: folder)
      #expect(served.status == 0 && served.output.contains("all 1 MiB equal"), "\(served.output)")
      let checked = Shell.run(
        "\"\(Shell.products)/uffdhost\" check ./striped.so pages=256", in: folder)
      #expect(checked.status == 0, "\(checked.output)")
    }
  }

  /// Builds a package that lies elsewhere and knows only the library product.
  @Test("a package outside this tree builds the README's program, and it runs")
  func packageOutside() throws {
    let program = try block("swift", startingWith: "import UffdHost")
    try Shell.withFolder { folder in
      try Shell.write(
        """
        // swift-tools-version: 6.3
        import PackageDescription
        let package = Package(
          name: "outside",
          dependencies: [.package(name: "uffdhost", path: "\(Tree.root)")],
          targets: [
            .executableTarget(
              name: "outside", dependencies: [.product(name: "UffdHost", package: "uffdhost")])
          ],
          swiftLanguageModes: [.v6])

        """, to: folder + "/Package.swift")
      #expect(Shell.run("mkdir -p Sources/outside", in: folder).status == 0)
      try Shell.write(
        program.joined(separator: "\n") + "\n", to: folder + "/Sources/outside/main.swift")
      try Shell.write(String(repeating: "*", count: 100_000), to: folder + "/disk.img")
      // Kept between runs, so that only the first one takes long. Nice, for other tests measure time.
      let scratch = Tree.root + "/.build-outside"
      let built = Shell.run(
        "nice -n 19 swift build --scratch-path \"\(scratch)\"", in: folder, seconds: 540)
      #expect(built.status == 0, "\(built.output)")
      let ran = Shell.run(
        "UFFDHOST_PLUGIN_PATH=\"\(Shell.products)\" \"\(scratch)/debug/outside\"", in: folder)
      #expect(ran.status == 0 && ran.output == "42\n1 fault so far\n", "\(ran.output)")
    }
  }
}

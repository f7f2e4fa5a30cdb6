// SPDX-License-Identifier: Apache-2.0

// Every example is built with the command that its README prints, in a folder that holds nothing but
// its files, and then served to the last byte.

import ProviderWorkshop
import Testing

/// What the examples promise about the byte at `offset`.
private func stripedByte(at offset: Int, stripe: Int) -> UInt8 {
  let byte = UInt8(offset / 4096 % 251)
  return offset % 4096 / stripe % 2 == 0 ? byte : ~byte
}

@Suite(
  .enabled(if: Shell.has("pkg-config"), "there is no pkg-config, which the commands call"),
  .enabled(if: Workshop.canServe, "userfaultfd cannot be used here; 'uffdhost doctor' says why"))
struct ExampleTests {
  @Test(.enabled(if: Shell.has("cc"), "there is no C compiler"))
  func inC() throws {
    try buildAndServe("c", library: "libstripes.so")
  }

  @Test(.enabled(if: Shell.has("g++"), "there is no g++"))
  func inCxxByGNU() throws {
    try buildAndServe("cxx", library: "libstripes-cxx.so") { "g++" + $0.dropFirst("c++".count) }
  }

  @Test(.enabled(if: Shell.has("clang++"), "there is no clang++"))
  func inCxxByClang() throws {
    try buildAndServe("cxx", library: "libstripes-cxx.so") { "clang++" + $0.dropFirst("c++".count) }
  }

  @Test(.enabled(if: Shell.has("rustc"), "there is no rustc"))
  func inRust() throws {
    try buildAndServe("rust", library: "libstripes_rust.so")
  }

  @Test(.enabled(if: Shell.has("swiftc"), "there is no swiftc"))
  func inEmbeddedSwift() throws {
    let folder = try buildAndServe("embedded-swift", library: "libstripes-embedded.so")
    guard Shell.has("readelf") else { return }
    let needed = Shell.run("readelf -d libstripes-embedded.so | grep NEEDED", in: folder.path)
    #expect(needed.output.split(separator: "\n").count == 1, "\(needed.output)")
    #expect(needed.output.contains("[libc.so.6]"), "\(needed.output)")
  }

  @Test(.enabled(if: Shell.has("swift"), "there is no swift"))
  func inSwift() throws {
    try buildAndServe("swift", library: "release/libStripesProvider.so")
  }

  /// Builds an example by the first block of its README, in which `change` may put another compiler,
  /// serves it against an oracle that the example never saw, and tries what it must refuse.
  @discardableResult
  private func buildAndServe(
    _ example: String, library: String, change: (String) -> String = { $0 }
  ) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let source = "\(Workshop.root)/Examples/\(example)"
    let command = change(try Self.command(source))
    let build = try Self.run(command, source, in: folder)
    try #require(build.status == 0, "\(command): \(build.output)")

    let size = (251 + 3) * 4096 + 1234
    let oracle = (0..<size).map { stripedByte(at: $0, stripe: 100) }
    let expected = try folder.write("expected", oracle)
    let arguments = "size=\(size) stripe=100"
    #expect(
      Workshop.serve(
        library, "\(arguments) --verify \(expected) --threads 2 --access random", in: folder.path)
        == nil)
    #expect(Workshop.serve(library, "size=64K --verify provider", in: folder.path) == nil)
    #expect(Workshop.check(library, arguments, in: folder.path) == nil)

    let refusal = Workshop.host("--provider ./\(library) stripe=0", in: folder.path)
    #expect(refusal.status == 2)
    #expect(refusal.output.contains("does not accept its configuration"), "\(refusal.output)")
    #expect(refusal.output.contains("at least 1 byte"), "\(refusal.output)")
    return folder
  }

  /// The first block of code of the README: one line.
  private static func command(_ folder: String) throws -> String {
    let readme = try File.text("\(folder)/README.md")
    guard let block = CodeBlock.all(in: readme).first, block.text.split(separator: "\n").count == 1
    else { throw Failure("\(folder)/README.md does not begin with a command of one line") }
    return String(block.text.dropLast())
  }

  /// Runs the command where there is nothing but copies of the example's files and, as installed, the
  /// header. The package in Swift depends on its surroundings by path: it is built where it is, and
  /// only its products go to the folder.
  private static func run(
    _ command: String, _ source: String, in folder: TemporaryFolder
  ) throws -> Outcome {
    if command.hasPrefix("swift build") {
      return Shell.run(
        command, in: source, environment: [(name: "SWIFTPM_BUILD_DIR", value: folder.path)],
        seconds: 120)
    }
    let copy = Shell.run("cp -R . \(Shell.quoted(folder.path))", in: source)
    guard copy.status == 0 else { throw Failure("\(source) was not copied: \(copy.output)") }
    let include = Shell.run(
      "mkdir -p include && cp \(Shell.quoted(Workshop.include))/uffd_plugin.h include/",
      in: folder.path)
    guard include.status == 0 else { throw Failure("there is no header: \(include.output)") }
    try folder.write(
      "uffdhost.pc",
      """
      Name: uffdhost
      Description: the header of the plugin ABI
      Version: 1.0
      Cflags: -I\(folder.path)/include

      """)
    return Shell.run(
      command, in: folder.path, environment: [(name: "PKG_CONFIG_PATH", value: folder.path)])
  }
}

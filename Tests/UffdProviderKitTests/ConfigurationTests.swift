// SPDX-License-Identifier: Apache-2.0

// What each provider answers to parameters that it cannot use: the status, and one sentence that
// names what is wrong.

import Glibc
import Testing
import UffdPluginABI

@Suite(.serialized) struct ConfigurationTests {
  /// Configures and expects to be refused.
  private func refusal(_ name: String, _ parameters: [(String, String)]) throws -> Refusal {
    let library = try ProviderLibrary(name)
    let refusal = #expect(throws: Refusal.self) { _ = try MockInstance(library, parameters) }
    return try #require(refusal)
  }

  private func expect(
    _ name: String, _ parameters: [(String, String)], _ status: uffd_status, _ sentence: String,
    at location: SourceLocation = #_sourceLocation
  ) throws {
    let refusal = try refusal(name, parameters)
    #expect(refusal.status == status, sourceLocation: location)
    #expect(refusal.sentence == sentence, sourceLocation: location)
  }

  @Test(arguments: ProviderLibrary.names) func aKeyThatDoesNotExist(name: String) throws {
    let refusal = try refusal(name, [("pattern", "1"), ("size", "4K"), ("colour", "red")])
    #expect(refusal.status == .absent)
    #expect(refusal.sentence?.hasPrefix("there is no parameter colour; there are image,") == true)
  }

  @Test(arguments: ProviderLibrary.names) func exactlyOneContent(name: String) throws {
    try expect(
      name, [("size", "4K")], .outOfRange,
      "there is no content: give image=FILE, or pattern=SEED with size=SIZE")
    try expect(
      name, [("pattern", "1"), ("size", "4K"), ("image", "/dev/null")], .outOfRange,
      "there are two contents: give either image=FILE or pattern=SEED")
    try expect(name, [("pattern", "7")], .outOfRange, "pattern=7 has no end: give size=SIZE")
  }

  @Test(arguments: ProviderLibrary.names) func sizesThatNoObjectHas(name: String) throws {
    try expect(
      name, [("pattern", "1"), ("size", "0")], .outOfRange,
      "size=0 is too small: an object has at least 1 byte")
    try expect(
      name, [("pattern", "1"), ("size", "129T")], .outOfRange,
      "size=129T is too large: a process has addresses for 128T")
    #expect(try refusal(name, [("pattern", "1"), ("size", "1Q")]).status == .outOfRange)
    #expect(try refusal(name, [("pattern", "0x1g"), ("size", "1K")]).status == .outOfRange)
  }

  @Test(arguments: ProviderLibrary.names) func imagesThatCannotBeOpened(name: String) throws {
    try expect(
      name, [("image", "/nonexistent/file")], .ioError,
      "image /nonexistent/file cannot be opened: No such file or directory (ENOENT): check the path"
    )
    try expect(
      name, [("image", "/proc/self")], .outOfRange,
      "image /proc/self is a directory: name a file")
    #expect(
      try refusal(name, [("image", "/dev/null")]).sentence?.hasPrefix(
        "image /dev/null is neither a regular file nor a block device") == true)
    let empty = try TemporaryFile()
    try expect(
      name, [("image", empty.path)], .outOfRange,
      "image \(empty.path) is empty, and an object has at least 1 byte: name another file")
  }

  @Test func anImageThatIsAPipeIsRefusedAndNotWaitedFor() async {
    await #expect(processExitsWith: .success) {
      alarm(20)
      let path = "/tmp/uffdhost-test-pipe-\(getpid())"
      guard unsafe mkfifo(path, 0o600) == 0 else { exit(2) }
      defer { unsafe unlink(path) }
      let library = try ProviderLibrary("AnonProvider")
      let refusal = #expect(throws: Refusal.self) {
        _ = try MockInstance(library, [("image", path)])
      }
      #expect(refusal?.sentence?.contains("is neither a regular file nor") == true)
    }
  }

  @Test func anImageThatMayNotBeReadNamesThePermission() async throws {
    let file = try TemporaryFile([1])
    #expect(unsafe chmod(file.path, 0) == 0)
    let path: String = file.path
    // A process of its own, because it gives its rights away.
    await #expect(processExitsWith: .success) { [path = path as String] in
      let library = try ProviderLibrary("AnonProvider")
      if geteuid() == 0, setuid(65534) != 0 { exit(3) }
      let refusal = #expect(throws: Refusal.self) {
        _ = try MockInstance(library, [("image", path)])
      }
      #expect(refusal?.status == .ioError)
      #expect(
        refusal?.sentence == "image \(path) cannot be opened: Permission denied (EACCES): "
          + "the user that runs this needs the right to read it")
    }
  }

  @Test func theLimitMustBeANumber() throws {
    for name in ["ShmemProvider", "HugetlbProvider"] {
      let refusal = try refusal(name, [("pattern", "1"), ("size", "4K"), ("limit", "4K")])
      #expect(refusal.status == .outOfRange)
      #expect(refusal.sentence?.hasPrefix("limit=4K is not a number") == true)
    }
  }

  @Test func hugePagesHaveTwoSizes() throws {
    try expect(
      "HugetlbProvider", [("pattern", "1"), ("size", "4K"), ("granule", "4K")], .outOfRange,
      "granule=4096 is not the size of a huge page: give 2M or 1G")
    let library = try ProviderLibrary("HugetlbProvider")
    for (text, bytes) in [("2M", 1 << 21), ("1G", 1 << 30)] as [(String, UInt64)] {
      let instance = try MockInstance(
        library, [("pattern", "1"), ("size", "1"), ("granule", text)])
      #expect(unsafe instance.traits.granule == bytes)
    }
  }
}

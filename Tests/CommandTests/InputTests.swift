// SPDX-License-Identifier: Apache-2.0
// What a user may give the command that it cannot take: each with its sentence and exit code.
import Foundation
import TestSupport
import Testing

@Suite("Command: input")
struct InputTests {
  static let libraries: [(path: String, says: String, code: Int32)] = [
    ("/no/such/file.so", "the provider '/no/such/file.so' cannot be opened (ENOENT)", 2),
    ("/", "the provider '/' is not a file; give the path of a shared library", 2),
    ("/dev/null", "the provider '/dev/null' is not a file", 2),
    (Checkout.root + "/Package.swift", "cannot be loaded: ", 3),
    (Checkout.uffdhost, "cannot be loaded: ", 3),
    ("nosuch", "no provider 'nosuch': libNosuchProvider.so is in none of ", 2),
    ("nosuch.so", "the provider './nosuch.so' cannot be opened (ENOENT)", 2),
  ]

  @Test("what is no provider", arguments: libraries, ["run", "inspect", "help"])
  func refused(_ library: (path: String, says: String, code: Int32), _ command: String)
    async throws
  {
    let words = command == "run" ? ["--provider", library.path] : [command, library.path]
    expectError(try await uffdhost(words), code: library.code, library.says)
  }

  static let parameters: [(words: [String], says: String, code: Int32)] = [
    (["colour=red", "pattern=1"], "knows no parameter 'colour'; it takes image, pattern, size", 2),
    (["pattern=1", "pattern=2"], "the parameter 'pattern' is given twice; give it once", 2),
    (["pattern=1"], "size=", 2),
    ([], "there is no content: give image=FILE, or pattern=SEED with size=SIZE", 2),
    (["pattern=x", "size=1M"], "'pattern=x' is no number", 2),
    (["pattern=1", "size=0"], "size=0 is too small", 2),
    (["pattern=1", "size=lots"], "'size=lots' is no size", 2),
    (["pattern=1", "size=18446744073709551615"], "is too large", 2),
    (["image="], "the parameter 'image' is empty; give the path of a file", 2),
    (["image=/no/such/image"], "image /no/such/image cannot be opened: ", 2),
    (["image=/"], "image / is a directory: name a file", 2),
    (["image=/dev/null"], "image /dev/null is neither a regular file nor a block device", 2),
    (["pattern=1", "size=1M", "--size", "2M"], "is more than the object of 1 MiB", 2),
    (
      ["pattern=1", "size=1M", "--verify", "/no/oracle"], "'/no/oracle' cannot be opened (ENOENT)",
      2
    ),
  ]

  @Test("configurations", arguments: parameters, ["anon", "shmem"])
  func configuration(_ given: (words: [String], says: String, code: Int32), _ provider: String)
    async throws
  {
    expectError(
      try await uffdhost(["--provider", provider] + given.words), code: given.code, given.says)
  }

  @Test("more than this machine has", arguments: ["anon", "shmem"])
  func tooLarge(_ provider: String) async throws {
    let outcome = try await uffdhost(["--provider", provider, "pattern=1", "size=1T"])
    expectError(outcome, code: 4, "1 TiB", "--size")
  }

  @Test("no huge pages left", arguments: ["1T", "100G"])
  func noHugePages(_ size: String) async throws {
    let outcome = try await uffdhost(
      ["--provider", "hugetlb", "pattern=1", "size=\(size)"], expectsEmptyPool: true)
    expectError(
      outcome, code: 4, "huge pages of 2 MiB cannot be reserved",
      "echo N > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
  }

  @Test("odd sizes", arguments: Ours.all, [1, 4095, 4097, 2 << 20 | 1] as [UInt64])
  func oddSize(_ ours: Ours, _ size: UInt64) async throws {
    try ours.requirePages(size)
    let granules = (size - 1) / ours.granule + 1
    for oracle in ["pattern:7", "provider"] {
      let report = try expectVerified(
        try await uffdhost([
          "--provider", ours.name, "pattern=7", "size=\(size)", "--json", "--verify", oracle,
          "--fault-around", "off",
        ]))
      #expect(report["bytes"] == .number(granules * ours.granule))
      #expect(report["faults"]["missing"] == .number(granules))
    }
  }

  @Test("an image shorter or longer than size=", arguments: Ours.all, [1000, 10000, 50000])
  func imageAndSize(_ ours: Ours, _ length: Int) async throws {
    try ours.requirePages(50000)
    let scratch = try Scratch()
    let image = try scratch.noise("image", bytes: length)
    _ = try expectVerified(
      try await uffdhost(["--provider", ours.name, "image=\(image)", "size=40001", "--json"]))
  }

  @Test(
    "an image that the user may not read",
    .enabled(if: Nobody.isPossible, "needs root and setpriv to become another user"))
  func unreadable() async throws {
    let nobody = try Nobody()
    try await nobody.requireStart()
    let image = try nobody.scratch.noise("secret", bytes: 8192)
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: image)
    for provider in ["anon", "shmem"] {
      let outcome = try await nobody.run(["--provider", provider, "image=\(image)"])
      #expect(outcome.code == 2, "\(outcome.story)")
      #expect(outcome.output.isEmpty)
      #expect(
        outcome.errorLines.last?.contains("image \(image) cannot be opened: ") == true,
        "\(outcome.story)")
      #expect(outcome.errors.contains("(EACCES)"), "\(outcome.story)")
    }
  }
}

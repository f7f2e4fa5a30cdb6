// SPDX-License-Identifier: Apache-2.0
// Working sets from end to end: recorded, shown, replayed, and refused where they do not belong.
import Foundation
import Glibc
import TestSupport
import Testing

@Suite("Command: working sets")
struct WorkingSetTests {
  private static let granules: UInt64 = 2000

  /// A file of 2000 pages, and the set of a run that touched some of them.
  private struct Recorded {
    let scratch: Scratch
    let image: String
    let set: String
    /// The granules that were touched.
    let count: UInt64
  }

  private func record(
    _ provider: String = "anon", _ more: [String] = ["--access", "zipf"], bytes: Int = 2000 * 4096
  ) async throws -> Recorded {
    let scratch = try Scratch()
    let image = try scratch.noise("image", bytes: bytes)
    let set = scratch.path + "/set"
    let report = try expectVerified(
      try await uffdhost(
        ["--provider", provider, "image=\(image)", "--json", "--record", set] + more))
    #expect(report["recorded"]["file"] == .text(set))
    let count = report["recorded"]["granules"].number
    // Each fault is a first touch, and each first touch a fault.
    #expect(report["faults"]["missing"] == .number(count))
    #expect(report["replay"] == .null)
    return Recorded(scratch: scratch, image: image, set: set, count: count)
  }

  @Test(
    "what was recorded is filled before it is touched",
    arguments: ["anon", "shmem"], [[], ["--readers", "2"], ["--private", "--regions", "2"]])
  func replayed(_ provider: String, _ more: [String]) async throws {
    let recorded = try await record(provider)
    #expect((100..<Self.granules).contains(recorded.count))
    let report = try expectVerified(
      try await uffdhost(
        [
          "--provider", provider, "image=\(recorded.image)", "--access", "zipf", "--json",
          "--replay", recorded.set,
        ] + more))
    let replay = report["replay"]
    let regions: UInt64 = more.contains("--regions") ? 2 : 1
    #expect(replay["file"] == .text(recorded.set))
    #expect(replay["granules"] == .number(recorded.count * regions))
    #expect(
      replay["filled"].number + replay["present"].number + replay["left"].number
        == recorded.count * regions)
    // A page is filled by the replay or by a fault; some few by both at once.
    let faults = report["faults"]["missing"].number + report["faults"]["minor"].number
    #expect(faults <= recorded.count * regions - replay["filled"].number + 64, "\(report)")
    #expect(report["recorded"] == .null)
    #expect(report["given_up"] == .number(0))
  }

  @Test("shown for people and for programs")
  func shown() async throws {
    let recorded = try await record("anon", ["--access", "sequential"])
    #expect(recorded.count == Self.granules)
    let text = try await uffdhost(["workingset", "show", recorded.set])
    #expect(text.code == 0 && text.errors.isEmpty, "\(text.story)")
    for line in [
      "a working set of anon", "content      named ",
      "2,000 granules, 7.81 MiB, 100.0 % of the object",
      "runs         1, 2000.0 granules each", "100.0 % of the touches follow the one before",
    ] {
      #expect(text.output.contains(line), "\(text.story)")
    }
    let json = try JSONValue(
      parsing: try await uffdhost(["workingset", "show", recorded.set, "--json"]).output)
    #expect(json["granules"] == .number(Self.granules) && json["runs"] == .number(1))
    #expect(json["sequential"] == .number(Self.granules - 1))
    #expect(json["bytes"] == .number(Self.granules * 4096))
  }

  @Test("a part of the object: what lies outside is not filled")
  func window() async throws {
    let recorded = try await record("anon", ["--access", "sequential"])
    let report = try expectVerified(
      try await uffdhost([
        "--provider", "anon", "image=\(recorded.image)", "--size", "1M", "--json", "--replay",
        recorded.set,
      ]))
    #expect(report["replay"]["granules"] == .number(256))
    #expect(report["resident_bytes"] == .number(1 << 20))
  }

  @Test("an image that has changed is refused, and another one, and another size")
  func changed() async throws {
    let recorded = try await record()
    func replay(_ words: [String]) async throws -> Outcome {
      try await uffdhost(["--provider", "anon", "--replay", recorded.set] + words)
    }
    let other = try recorded.scratch.noise("other", bytes: 2000 * 4096)
    expectError(
      try await replay(["image=\(other)"]), code: 2, "the working set '\(recorded.set)'",
      "belongs to other content", "'--record'")
    expectError(
      try await replay(["image=\(recorded.image)", "size=2000K"]), code: 2,
      "belongs to an object of 8192000 bytes, and this one has 2048000")
    expectError(
      try await replay(["pattern=1", "size=8192000"]), code: 2, "belongs to other content")
    // One byte, in the middle.
    let handle = try FileHandle(forWritingTo: URL(filePath: recorded.image))
    try handle.seek(toOffset: 4_000_000)
    try handle.write(contentsOf: Data([0]))
    try handle.close()
    expectError(
      try await replay(["image=\(recorded.image)"]), code: 2, "belongs to other content")
  }

  @Test("granules of another size are refused")
  func granule() async throws {
    try Ours.all[2].requirePages(4 << 20)
    let recorded = try await record("anon", bytes: 4 << 20)
    expectError(
      try await uffdhost([
        "--provider", "hugetlb", "image=\(recorded.image)", "--replay", recorded.set,
      ]), code: 2, "was recorded in granules of 4 KiB", "serves granules of 2 MiB")
  }

  @Test("without a name of the content its configuration and samples tell")
  func described() async throws {
    let scratch = try Scratch()
    let stripes = try await Compiler.library(
      Checkout.root + "/Examples/c/stripes.c", to: scratch.path + "/stripes.so")
    let set = scratch.path + "/set"
    func run(_ library: String, _ words: [String]) async throws -> Outcome {
      try await uffdhost(["--provider", library] + words)
    }
    let first = try await run(stripes, ["size=1M", "stripe=64", "--record", set])
    #expect(first.code == 0, "\(first.story)")
    let again = try await run(stripes, ["stripe=64", "size=1M", "--replay", set])
    #expect(again.code == 0, "\(again.story)")
    expectError(
      try await run(stripes, ["size=1M", "stripe=128", "--replay", set]), code: 2,
      "was recorded with another configuration")
    let shown = try await uffdhost(["workingset", "show", set])
    #expect(shown.output.contains("content      described "), "\(shown.story)")
    // The same configuration, and other bytes.
    var libraries: [String] = []
    for byte in ["5", "6"] {
      libraries.append(
        try await Compiler.gallery(
          "alloc.c",
          [
            "LIE":
              "memset(request->staging, \(byte), 4096); return answer(folio, UFFD_FOLIO_STAGED, 1, 0)"
          ], in: scratch))
    }
    let recorded = try await run(libraries[0], ["--record", set])
    #expect(recorded.code == 0, "\(recorded.story)")
    expectError(
      try await run(libraries[1], ["--replay", set]), code: 2, "samples of the content differ")
  }

  @Test("an interrupted recording is a whole file", arguments: [SIGINT, SIGTERM])
  func interrupted(_ signal: Int32) async throws {
    let scratch = try Scratch()
    let set = scratch.path + "/set"
    let outcome = try await uffdhost([
      "--provider", "anon", "pattern=1", "size=16M", "--passes", "1000000", "--record", set,
      "--json",
    ]) { child in
      let isRunning = try await child.hasThread("uffd-touch")
      #expect(isRunning)
      try await Task.sleep(for: .milliseconds(200))
      child.send(signal)
    }
    #expect(outcome.code == 130, "\(outcome.story)")
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["interrupted"] == .boolean(true))
    let shown = try JSONValue(
      parsing: try await uffdhost(["workingset", "show", set, "--json"]).output)
    #expect(shown["granules"] == report["recorded"]["granules"])
    #expect(shown["granules"].number > 0)
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["set"])
  }

  @Test("a file that cannot be written or read is refused before anything is served")
  func files() async throws {
    let scratch = try Scratch()
    let words = ["--provider", "anon", "pattern=1", "size=1M"]
    expectError(
      try await uffdhost(words + ["--record", "/no/such/set"]), code: 2,
      "the working set '/no/such/set' cannot be written (ENOENT)")
    expectError(
      try await uffdhost(words + ["--record", scratch.path]), code: 2, "cannot be written")
    expectError(
      try await uffdhost(words + ["--replay", "/no/such/set"]), code: 2,
      "the working set '/no/such/set' cannot be opened (ENOENT)")
    let file = try scratch.file("text", "UFFDHOST, and no working set")
    for arguments in [words + ["--replay", file], ["workingset", "show", file]] {
      expectError(
        try await uffdhost(arguments), code: 2, "the file '\(file)' is no working set")
    }
  }

  @Test("a replay whose provider fails is served all the same, and only faults poison")
  func failing() async throws {
    let scratch = try Scratch()
    let set = scratch.path + "/set"
    let words = ["--provider", "shmem", "pattern=1", "size=1M", "--json"]
    _ = try expectVerified(try await uffdhost(words + ["--record", set]))
    // Half of the pages can be had; whichever they are, nobody touches more of them.
    let outcome = try await uffdhost(words + ["limit=128", "--size", "512K", "--replay", set])
    let report = try expectVerified(outcome)
    #expect(report["installed"]["poisoned"] == .number(0))
    #expect(report["replay"]["granules"] == .number(128))
  }

  @Test(
    "a server records what its clients touch, and fills it in the next ones",
    .enabled(if: Checkout.find("python3") != nil, "there is no python3"))
  func served() async throws {
    let scratch = try Scratch()
    let set = scratch.path + "/set"
    func serve(_ words: [String]) async throws -> Outcome {
      try await uffdhost(
        ["serve", "--provider", "anon", "pattern=7", "size=4M", "--listen", scratch.path + "/s"]
          + words + [
            "--run",
            "python3 '\(Checkout.root)/Examples/python/lazy_array.py' \"$UFFDHOST_SOCKET\" --size 4194304",
          ])
    }
    let recorded = try await serve(["--record", set])
    #expect(recorded.code == 0, "\(recorded.story)")
    #expect(recorded.errors.contains("granules were recorded into '\(set)'"), "\(recorded.story)")
    let shown = try JSONValue(
      parsing: try await uffdhost(["workingset", "show", set, "--json"]).output)
    #expect((1..<1024).contains(shown["granules"].number), "\(recorded.story)")
    let replayed = try await serve(["--replay", set])
    #expect(replayed.code == 0, "\(replayed.story)")
    let other = try await uffdhost([
      "serve", "--provider", "anon", "pattern=8", "size=4M", "--listen", scratch.path + "/s",
      "--replay", set,
    ])
    #expect(other.code == 2 && other.errors.contains("belongs to other content"), "\(other.story)")
  }
}

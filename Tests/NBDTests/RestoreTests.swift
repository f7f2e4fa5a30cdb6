// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import TestSupport
import Testing

/// Everything that runs against nbdkit, one after the other: each of them is made for the whole machine.
@Suite(
  .serialized,
  .enabled("needs cc, pkg-config, libnbd-dev, nbdkit and a userfaultfd") {
    await NBDExample.isPossible.value
  }) struct NBDTests
{}

/// The last `verified` of a report, with what else it must say about a restore of `bytes`.
func expectRestored(
  _ outcome: Outcome, _ bytes: UInt64, _ location: SourceLocation = #_sourceLocation
) throws {
  try #require(outcome.code == 0, "\(outcome.story)", sourceLocation: location)
  let report = try JSONValue(parsing: outcome.output)
  #expect(report["verified"].boolean == true, sourceLocation: location)
  #expect(report["verification"]["compared_bytes"].number == bytes, sourceLocation: location)
  #expect(report["installed"]["poisoned"].number == 0, sourceLocation: location)
}

extension NBDTests {
  @Suite struct Restoring {
    let server: NBDServer
    let scratch: Scratch
    init() throws {
      scratch = try Scratch()
      server = NBDServer(socket: scratch.path + "/socket")
    }

    @Test func `256 MiB are restored while the server is killed and comes back`() async throws {
      let (server, image) = (server, try await NBDExample.image)
      let arguments = ["--verify", image, "--threads", "4"]
      let outcome = try await NBDExample.run(server, arguments, connecting: ["file", image]) {
        first in
        try await NBDServer.hasRead(100 * NBDExample.megabyte, first)
        first.send(SIGKILL)
        // Longer than the host itself puts up with errors.
        try await Task.sleep(for: .milliseconds(1500))
      }
      try expectRestored(outcome, NBDExample.imageSize)
      #expect(outcome.errors.contains("a connection is lost"))
    }

    @Test(arguments: [
      (["--access", "sequential"], "1"), (["--access", "sequential"], "8"),
      (["--access", "random"], "1"), (["--access", "random"], "8"),
      (["memory=shmem", "--mode", "both", "--regions", "2"], "2"), (["connections=1"], "4"),
    ])
    func `every byte arrives, whoever asks and however`(
      arguments: [String], threads: String
    ) async throws {
      let (server, image) = (server, try await NBDExample.image)
      let all = arguments + ["size=96M", "--verify", image, "--threads", threads]
      try await server.run(["file", image]) { _ in
        let regions: UInt64 = arguments.contains("--regions") ? 2 : 1
        try expectRestored(
          try await NBDExample.run(server, all), regions * 96 * NBDExample.megabyte)
      }
    }

    @Test(.enabled(if: Checkout.freeHugePages >= 16, "the pool has no 16 free huge pages"))
    func `huge pages are filled one by one`() async throws {
      let (server, image) = (server, try await NBDExample.image)
      let arguments = ["memory=hugetlb", "size=30M", "--verify", image, "--threads", "2"]
      try await server.run(["file", image]) { _ in
        try expectRestored(try await NBDExample.run(server, arguments), 30 * NBDExample.megabyte)
      }
    }

    @Test func `an object may end in the middle of a granule and of a window`() async throws {
      let (server, image) = (server, try await NBDExample.image)
      try await server.run(["file", image]) { _ in
        let outcome = try await NBDExample.run(server, ["size=200001", "--verify", image])
        try expectRestored(outcome, 49 * 4096)
      }
    }

    @Test(arguments: [
      ["--filter=delay", "rdelay=5ms"], ["--filter=noparallel"],
      ["--filter=error", "error-pread-rate=10%"],
      ["--filter=multi-conn", "multi-conn-mode=disable"],
      [
        "--filter=blocksize-policy", "blocksize-minimum=4k", "blocksize-preferred=4k",
        "blocksize-maximum=12k", "blocksize-error-policy=error",
      ],
    ])
    func `slow, clumsy and failing servers are put up with`(filter: [String]) async throws {
      let (server, image) = (server, try await NBDExample.image)
      try await server.run([filter[0], "file", image] + filter.dropFirst()) { _ in
        let arguments = ["size=8M", "--verify", image, "--threads", "4"]
        try expectRestored(try await NBDExample.run(server, arguments), 8 * NBDExample.megabyte)
      }
    }

    @Test func `what the server knows to be zero is not read`() async throws {
      let server = server
      let data = ["data", "data=1 2 3 @0x2000000 4 5", "size=64M"]
      var expected = Data(count: 64 << 20)
      expected.replaceSubrange(0..<3, with: [1, 2, 3])
      expected.replaceSubrange(0x200_0000..<0x200_0002, with: [4, 5])
      let image = scratch.path + "/expected"
      try expected.write(to: URL(filePath: image))
      try await server.run(data) { _ in
        let outcome = try await NBDExample.run(server, ["--verify", image])
        try expectRestored(outcome, 64 << 20)
        let report = try JSONValue(parsing: outcome.output)
        #expect(report["installed"]["zeroed"].number > 63 << 20)
        #expect(report["installed"]["copied"].number > 0)
      }
    }

    @Test func `two instances at once do not know each other`() async throws {
      let (server, image) = (server, try await NBDExample.image)
      try await server.run(["file", image]) { _ in
        let arguments = ["size=16M", "--verify", "provider", "--threads", "4"]
        try expectRestored(try await NBDExample.run(server, arguments), 16 << 20)
      }
    }

    @Test func `it passes the conformance suite, if there is one`() async throws {
      let help = try await Child.run([Checkout.uffdhost, "help"])
      guard help.output.contains("uffdhost check") else { return }
      let (server, image) = (server, try await NBDExample.image)
      try await server.run(["file", image]) { _ in
        let outcome = try await Child.run(
          [Checkout.uffdhost, "check", NBDExample.library, "uri=\(server.uri)", "size=4M"])
        #expect(outcome.code == 0, "\(outcome.story)")
      }
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// A real file of more than 100 MB, the compiler's own binary, through each provider: every byte compared with
// the file itself.
import TestSupport
import Testing

private let file = Checkout.largeFile

@Suite(
  "Command: a large real file", .serialized,
  .enabled(if: file != nil, "the toolchain has no file of more than 100 MB"))
struct LargeFileTests {
  @Test(
    "every byte is right", arguments: Ours.all,
    [
      ("sequential", 1, "off"), ("sequential", 1, "auto"), ("random", 1, "auto"),
      ("sequential", 8, "auto"), ("random", 8, "off"),
    ])
  func serve(
    _ ours: Ours, _ access: (order: String, threads: Int, around: String)
  ) async throws {
    let file = try #require(file)
    let size = Checkout.size(of: file)
    try ours.requirePages(size)
    let report = try expectVerified(
      try await uffdhost([
        "--provider", ours.name, "image=\(file)", "--access", access.order, "--threads",
        "\(access.threads)", "--readers", access.threads == 1 ? "1" : "2", "--json",
        "--fault-around", access.around,
      ]))
    let granules = (size - 1) / ours.granule + 1
    let installed = report["installed"]
    #expect(report["oracle"] == .text("image=\(file)"))
    #expect(report["bytes"] == .number(granules * ours.granule))
    #expect(report["verification"]["compared_bytes"] == .number(granules * ours.granule))
    #expect(report["resident_bytes"] == .number(granules * ours.granule))
    #expect(installed["poisoned"] == .number(0))
    // Each is installed once, for a fault or beside one.
    #expect(report["faults"]["missing"].number + report["installed_around"].number >= granules)
    if access.around == "off" { #expect(report["installed_around"] == .number(0)) }
    #expect(installed["copied"].number + installed["zeroed"].number == granules * ours.granule)
  }

  @Test("through the backing, for two regions", arguments: ["both", "minor"])
  func minor(_ mode: String) async throws {
    let file = try #require(file)
    let report = try expectVerified(
      try await uffdhost([
        "--provider", "shmem", "image=\(file)", "--mode", mode, "--threads", "4", "--private",
        "--access", "random", "--size", "64M", "--regions", "2", "--json",
      ]))
    #expect(report["provided_bytes"] == .number(64 << 20))
    #expect(report["verification"]["compared_bytes"] == .number(128 << 20))
  }
}

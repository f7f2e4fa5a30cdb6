// SPDX-License-Identifier: Apache-2.0
// What the command prints: the JSON of a run and its sums, inspect, doctor, help and version, and standard
// descriptors that are closed, full or gone.
import Foundation
import Glibc
import TestSupport
import Testing

@Suite("Command: output")
struct CommandReportTests {
  /// Every field that a program may rely on is there and has its type.
  private func expectFields(_ report: JSONValue) {
    for name in [
      "granule", "bytes", "regions", "threads", "readers", "passes", "seed", "elapsed_ns",
      "known_zero_bytes", "fill_rate", "resident_bytes", "given_up", "provider_errors",
      "provider_violations", "put_off",
      "installed_around",
    ] {
      #expect(report[name].isNumber, "\(name)")
    }
    for name in ["provider", "provider_version", "memory", "oracle", "access", "mode"] {
      #expect(report[name].text != nil, "\(name)")
    }
    for (object, names) in [
      ("faults", ["missing", "minor", "wp"]),
      ("installed", ["copied", "zeroed", "continued", "poisoned"]),
      ("latency_ns", ["p50", "p90", "p99", "max"]),
    ] {
      for name in names { #expect(report[object][name].isNumber, "\(object).\(name)") }
    }
    #expect(report["verified"].boolean != nil)
    #expect(report["interrupted"].boolean == false)
    #expect(report["errors"].list != nil)
  }

  /// The latencies of a run: ordered, and the histogram holds each of them once.
  private func expectLatencies(_ report: JSONValue, count: UInt64) {
    let latency = report["latency_ns"]
    let steps = ["p50", "p90", "p99", "p999", "max"].map { latency[$0].number }
    #expect(steps == steps.sorted() && steps[0] > 0)
    #expect(latency["count"].number == count)
    let rows = report["latency_histogram"].list ?? []
    #expect(rows.reduce(0) { $0 + $1["count"].number } == count)
  }

  @Test("the numbers of a run add up", arguments: Ours.all, ["missing", "minor", "both"])
  func sums(_ ours: Ours, _ mode: String) async throws {
    let granules: UInt64 = ours.name == "hugetlb" ? 6 : 600
    let bytes = granules * ours.granule
    try ours.requirePages(bytes)
    let outcome = try await uffdhost([
      "--provider", ours.name, "pattern=3", "size=\(bytes)", "--mode", mode, "--json",
      "--fault-around", "off",
    ])
    if !ours.hasBacking, mode != "missing" {
      return expectError(outcome, code: 2, "'--mode \(mode)' needs a backing")
    }
    let report = try expectVerified(outcome)
    expectFields(report)
    expectLatencies(report, count: granules)
    let minor = ["missing": 0, "minor": granules, "both": granules / 2][mode]!
    #expect(report["provider"] == .text(ours.name))
    #expect(report["memory"] == .text(ours.name))
    #expect(report["granule"] == .number(ours.granule))
    #expect(report["bytes"] == .number(bytes))
    #expect(report["resident_bytes"] == .number(bytes))
    #expect(report["faults"]["missing"] == .number(granules - minor))
    #expect(report["faults"]["minor"] == .number(minor))
    #expect(report["faults"]["wp"] == .number(0))
    #expect(report["installed"]["copied"] == .number((granules - minor) * ours.granule))
    #expect(report["installed"]["continued"] == .number(minor * ours.granule))
    #expect(report["installed"]["zeroed"] == .number(0))
    #expect(report["installed"]["poisoned"] == .number(0))
    #expect(report["published_bytes"] == .number(minor * ours.granule))
    #expect(report["provided_bytes"] == .number(bytes))
    #expect(report["installed_around"] == .number(0))
    #expect(report["given_up"] == .number(0))
    #expect(report["oracle"] == .text("pattern:3"))
    #expect(report["verification"]["compared_bytes"] == .number(bytes))
  }

  @Test("what a fault takes along is no fault", arguments: ["auto", "16", "off"])
  func around(_ around: String) async throws {
    let report = try expectVerified(
      try await uffdhost([
        "--provider", "anon", "pattern=3", "size=4M", "--fault-around", around, "--json",
      ]))
    let faults = report["faults"]["missing"].number
    let along = report["installed_around"].number
    #expect(faults + along == 1024)
    #expect(["auto": 10...20, "16": 64...90, "off": 1024...1024][around]!.contains(faults))
    #expect(report["installed"]["copied"] == .number(4 << 20))
  }

  @Test(
    "everything is filled beside the faults, at a rate if there is one", arguments: ["0", "8M"])
  func filled(_ rate: String) async throws {
    let report = try expectVerified(
      try await uffdhost([
        "--provider", "anon", "pattern=3", "size=16M", "--access", "random", "--background-fill",
        "--fill-rate", rate, "--json",
      ]))
    let fill = report["background_fill"]
    let filled = fill["filled"].number
    #expect(fill["granules"] == .number(4096) && filled > 0, "\(fill)")
    #expect(filled + fill["present"].number + fill["left"].number == 4096, "\(fill)")
    #expect(report["faults"]["missing"].number <= 4096 - filled + 64, "\(report)")
    #expect(report["fill_rate"] == .number(rate == "0" ? 0 : 8 << 20))
    if rate != "0" {
      // A fiftieth of a second and a piece come before the clock.
      let most = fill["ns"].number * (8 << 20) / 1_000_000_000 + (8 << 20) / 50 + (512 << 10)
      #expect(filled * 4096 <= most, "\(fill)")
    }
  }

  @Test("what the provider knows to be zero is counted, and not asked for")
  func knownZeroes() async throws {
    let scratch = try Scratch()
    let image = try scratch.noise("image", bytes: 1 << 20)
    let words = ["--provider", "anon", "image=\(image)", "--json"]
    let whole = try expectVerified(try await uffdhost(words))
    #expect(whole["known_zero_bytes"] == .number(0))
    #expect(unsafe truncate(image, 3 << 20) == 0)
    let report = try expectVerified(try await uffdhost(words))
    #expect(report["known_zero_bytes"] == .number(2 << 20), "\(report)")
    #expect(report["provided_bytes"] == .number(1 << 20), "\(report)")
  }

  @Test(
    "several regions share one backing: each page is provided once", arguments: ["", "--private"])
  func regions(_ flag: String) async throws {
    let outcome = try await uffdhost(
      ["--provider", "shmem", "pattern=3", "size=1M", "--regions", "3", "--json"]
        + (flag.isEmpty ? [] : [flag]))
    let report = try expectVerified(outcome)
    #expect(report["provided_bytes"] == .number(1 << 20))
    #expect(report["resident_bytes"] == .number(3 << 20))
    #expect(report["sharing"] == .text(flag.isEmpty ? "shared" : "private"))
    #expect(report["verification"]["compared_bytes"] == .number(3 << 20))
  }

  @Test("a region is reported as it was mapped, not as it was asked for")
  func asMapped() async throws {
    let anon = try expectVerified(
      try await uffdhost(["--provider", "anon", "pattern=3", "size=64K", "--json"]))
    #expect(anon["sharing"] == .text("private"))
    #expect(anon["fill"] == .text("mapping"))
    // A shared region cannot be filled without its backing.
    let shmem = try expectVerified(
      try await uffdhost([
        "--provider", "shmem", "pattern=3", "size=64K", "--fill", "mapping", "--json",
      ]))
    #expect(shmem["fill"] == .text("backing"))
  }

  @Test("holes of an image cost no copy")
  func holes() async throws {
    let scratch = try Scratch()
    let image = try scratch.noise("sparse", bytes: 65536)
    let handle = try FileHandle(forWritingTo: URL(filePath: image))
    try handle.truncate(atOffset: 1 << 20)
    try handle.close()
    for provider in ["anon", "shmem"] {
      let report = try expectVerified(
        try await uffdhost(["--provider", provider, "image=\(image)", "--json"]))
      #expect(report["installed"]["copied"] == .number(65536))
      #expect(report["installed"]["zeroed"] == .number(1 << 20 - 65536))
    }
  }

  @Test("an oracle that says something else is believed: exit code 1", arguments: ["", "--json"])
  func wrong(_ flag: String) async throws {
    let outcome = try await uffdhost(
      ["--provider", "shmem", "pattern=3", "size=64K", "--verify", "pattern:4"]
        + (flag.isEmpty ? [] : [flag]))
    #expect(outcome.code == 1, "\(outcome.story)")
    guard !flag.isEmpty else { return }
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["verified"] == .boolean(false))
    #expect(report["verification"]["verdict"] == .text("failed"))
    #expect(report["verification"]["differing_granules"] == .number(16))
  }

  @Test("inspect, for people and programs", arguments: Ours.all)
  func inspect(_ ours: Ours) async throws {
    let outcome = try await uffdhost(["inspect", ours.name, "--json"])
    #expect(outcome.code == 0, "\(outcome.story)")
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["name"] == .text(ours.name))
    #expect(report["abi"] == .text("1.0"))
    #expect(report["table_size"] == .number(224))
    #expect(report["memory"].list?.contains(.text(ours.name)) == true)
    #expect(report["granules"].list?.contains(.number(ours.granule)) == true)
    let parameters = report["parameters"].list ?? []
    let keys = parameters.compactMap { $0["key"].text }
    #expect(Set(keys).isSuperset(of: ["image", "pattern", "size"]))
    #expect(keys.contains("limit") == ours.hasBacking)
    #expect(parameters.allSatisfy { $0["required"].boolean != nil && $0["help"].text != nil })
    let text = try await uffdhost(["inspect", ours.name])
    #expect(text.code == 0 && text.errors.isEmpty)
    for key in keys { #expect(text.output.contains(key + "=")) }
    let help = try await uffdhost(["--provider", ours.name, "--help"])
    #expect(help.code == 0 && help.errors.isEmpty)
    #expect(help.output.hasPrefix("\(ours.name) "))
    for key in keys { #expect(help.output.contains("  \(key)=")) }
  }

  @Test("help and version")
  func help() async throws {
    let help = try await uffdhost(["--help"])
    #expect(help.code == 0 && help.errors.isEmpty)
    #expect(help.output.contains("uffdhost --provider LIB [key=value ...] [options]"))
    let version = try await uffdhost(["--version"])
    #expect(version.code == 0)
    #expect(version.output.wholeMatch(of: /uffdhost \d+\.\d+\.\d+ \(provider ABI 1\.0\)\n/) != nil)
  }

  @Test("doctor agrees with what a run can do")
  func doctor() async throws {
    let outcome = try await uffdhost(["doctor", "--json"])
    let report = try JSONValue(parsing: outcome.output)
    let run = try await uffdhost(["--provider", "shmem", "pattern=1", "size=64K"])
    #expect(report["can_serve"] == .boolean(run.code == 0))
    #expect(outcome.code == (run.code == 0 ? 0 : 4), "\(outcome.story)")
    let checks = report["checks"].list ?? []
    #expect(checks.count > 5)
    for check in checks {
      #expect(check["id"].text != nil && check["detail"].text != nil)
      #expect(check["required"].boolean != nil)
    }
  }

  @Test(
    "JSON ends with a newline",
    arguments: [
      ["inspect", "anon"], ["doctor"], ["--provider", "anon", "pattern=1", "size=4K"],
    ])
  func newline(_ words: [String]) async throws {
    let outcome = try await uffdhost(words + ["--json"])
    #expect(outcome.output.hasSuffix("}\n"))
  }

  @Test("closed standard descriptors", arguments: [[1], [2], [1, 2], [0, 1, 2]] as [Set<Int32>])
  func closed(_ descriptors: Set<Int32>) async throws {
    var options = Child.Options()
    options.closed = descriptors
    let right = try await uffdhost(
      ["--provider", "shmem", "pattern=1", "size=64K", "--regions", "2"], options)
    #expect(right.code == 0, "\(right.story)")
    let wrong = try await uffdhost(
      ["--provider", "shmem", "pattern=1", "size=64K", "limit=2"], options)
    #expect(wrong.code == 1, "\(wrong.story)")
  }

  @Test("no descriptor of the host gets the number of a standard one, or messages would land in it")
  func strayOutput() async throws {
    var options = Child.Options()
    options.closed = [0, 1, 2]
    _ = try await uffdhost(
      ["--provider", "shmem", "pattern=1", "size=64M", "--passes", "100000"], options
    ) { child in
      let isRunning = try await child.hasThread("uffd-touch")
      #expect(isRunning)
      for fd in 0...2 {
        #expect(child.descriptor(fd) == "/", "descriptor \(fd)")
      }
      child.send(SIGKILL)
    }
  }

  @Test("standard output that is full, or a pipe without a reader")
  func lostOutput() async throws {
    var options = Child.Options()
    options.output = "/dev/full"
    let run = ["--provider", "shmem", "pattern=1", "size=64K"]
    for words in [run, ["--help"]] {
      let outcome = try await uffdhost(words, options)
      #expect(outcome.code == 0, "\(outcome.story)")
    }
    let piped = try await Child.run(
      [
        "/bin/sh", "-c", "{ \"$@\"; echo $? >&2; } | true", "sh", Checkout.uffdhost,
      ] + run)
    #expect(piped.errors == "0\n", "\(piped.story)")
  }
}

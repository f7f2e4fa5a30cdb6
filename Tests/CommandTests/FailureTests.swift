// SPDX-License-Identifier: Apache-2.0
// Runs that fail or are ended while pages are being served: limits, policies, signals, an image that shrinks.
import Foundation
import Glibc
import TestSupport
import Testing

@Suite("Command: failures", .serialized)
struct FailureTests {
  private let limited = ["--provider", "shmem", "pattern=1", "size=1M", "limit=100"]
  /// More passes than anybody waits for.
  private let endless = ["--provider", "anon", "pattern=1", "size=16M", "--passes", "1000000"]

  @Test("a limit that is reached in the middle", arguments: ["shmem", "hugetlb"], [1, 4])
  func limit(_ provider: String, _ threads: Int) async throws {
    let ours = Ours.all.first { $0.name == provider }!
    let (size, limit): (UInt64, UInt64) = provider == "shmem" ? (512, 100) : (8, 5)
    try ours.requirePages(size * ours.granule)
    let outcome = try await uffdhost([
      "--provider", provider, "pattern=1", "size=\(size * ours.granule)", "limit=\(limit)",
      "--threads", "\(threads)", "--access", "random", "--json",
    ])
    #expect(outcome.code == 1, "\(outcome.story)")
    #expect(outcome.errorLines.allSatisfy { $0.hasPrefix("uffdhost: error: ") })
    #expect(
      outcome.errorLines.first?.contains(
        "filemap_add refused to account it (the limit of \(limit) granules is reached") == true,
      "\(outcome.story)")
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["installed"]["copied"] == .number(limit * ours.granule))
    #expect(report["installed"]["poisoned"].number >= ours.granule)
    #expect(report["given_up"].number >= 1)
    #expect(report["verified"] == .boolean(false))
    #expect(report["errors"].list?.isEmpty == false)
  }

  @Test("--on-error kill: the process is killed and has said why")
  func killed() async throws {
    let outcome = try await uffdhost(limited + ["--on-error", "kill"])
    #expect(outcome.signal == SIGKILL && !outcome.isTimedOut, "\(outcome.story)")
    #expect(outcome.errors.contains("granule 100 of provider 'shmem'"), "\(outcome.story)")
    #expect(outcome.errorLines.last?.contains("kill") == true, "\(outcome.story)")
    #expect(outcome.output.isEmpty)
  }

  @Test("--on-error hold: the page is waited for until an interrupt, and never given up")
  func held() async throws {
    let outcome = try await uffdhost(
      limited + ["--on-error", "hold", "--deadline", "0.1", "--json"]
    ) {
      child in
      let isRunning = try await child.hasThread("uffd-touch")
      #expect(isRunning)
      try await Task.sleep(for: .seconds(1))
      #expect(kill(child.pid, 0) == 0)
      child.send(SIGINT)
    }
    #expect(outcome.code == 130, "\(outcome.story)")
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["interrupted"] == .boolean(true))
    #expect(report["installed"]["copied"] == .number(100 * 4096))
    #expect(report["installed"]["poisoned"] == .number(0))
    #expect(report["given_up"] == .number(0))
  }

  @Test("an interrupt ends a run with its report", arguments: [SIGINT, SIGTERM], [1, 8])
  func interrupted(_ signal: Int32, _ threads: Int) async throws {
    let outcome = try await uffdhost(endless + ["--threads", "\(threads)", "--json"]) { child in
      let isRunning = try await child.hasThread("uffd-touch")
      #expect(isRunning)
      try await Task.sleep(for: .milliseconds(200))
      child.send(signal)
    }
    #expect(outcome.code == 130, "\(outcome.story)")
    #expect(outcome.errors.isEmpty, "\(outcome.story)")
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["interrupted"] == .boolean(true))
    #expect(report["errors"] == .list([]))
    #expect(report["installed"]["copied"].number > 0)
    #expect(report["verification"]["verdict"] != .text("failed"))
  }

  @Test("an interrupt while every thread waits for a hook that hangs")
  func interruptedHang() async throws {
    let scratch = try Scratch()
    let library = try await Compiler.gallery(
      "hang.c", ["SECONDS": "3", "MODEL": "UFFD_THREADS_SERIAL"], in: scratch)
    let outcome = try await uffdhost(["--provider", library, "--threads", "4", "--json"]) { child in
      let isRunning = try await child.hasThread("uffd-touch")
      #expect(isRunning)
      try await Task.sleep(for: .milliseconds(200))
      child.send(SIGINT)
    }
    #expect(outcome.code == 130, "\(outcome.story)")
    #expect(try JSONValue(parsing: outcome.output)["interrupted"] == .boolean(true))
  }

  @Test("an image that shrinks while it is served", arguments: Ours.all)
  func shrinking(_ ours: Ours) async throws {
    let length: UInt64 = 32 << 20
    try ours.requirePages(2 * length)
    let scratch = try Scratch()
    let image = try scratch.noise("image", bytes: Int(length))
    // What the image was: the oracle does not shrink.
    let truth = try scratch.copy(image, as: "truth")
    let outcome = try await uffdhost(
      [
        "--provider", ours.name, "image=\(image)", "--verify", truth, "--threads", "8",
        "--access", "random", "--private", "--fill", "mapping", "--passes", "1000000", "--json",
      ]
    ) { child in
      let isRunning = try await child.hasThread("uffd-touch")
      #expect(isRunning)
      try await Task.sleep(for: .milliseconds(300))
      #expect(unsafe truncate(image, Int(length) / 2) == 0)
    }
    #expect(outcome.code == 1, "\(outcome.story)")
    #expect(outcome.errors.contains("that cannot be read: the file behind it shrank"))
    let report = try JSONValue(parsing: outcome.output)
    // Not one byte was wrong: what is gone was poisoned, and never read as zero.
    #expect(report["verification"]["verdict"] == .text("not verified"), "\(outcome.story)")
    #expect(report["verified"] == .boolean(false))
    #expect(report["installed"]["copied"].number > 0)
    #expect(report["installed"]["poisoned"].number >= ours.granule)
    #expect(report["installed"]["zeroed"] == .number(0))
    #expect(report["errors"].list?.isEmpty == false)
  }
}

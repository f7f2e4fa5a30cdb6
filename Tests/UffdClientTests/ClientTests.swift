// SPDX-License-Identifier: Apache-2.0
// The clients of the native protocol against a real server: in C, in Swift, in Python.
import Foundation
import Glibc
import TestSupport
import Testing

@Suite(
  "Clients",
  .enabled(
    if: Served.canServe, "userfaultfd cannot be used here; 'uffdhost doctor' says why"))
struct ClientTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let provider: String
    let memory: String
    let pageSize: Int
    var testDescription: String { "\(memory) memory by \(provider)" }
    var isHuge: Bool { pageSize > 4096 }
    /// Of content; a power of two times the page.
    var bytes: Int { pageSize * (isHuge ? 4 : 256) }
  }

  static let cases = [
    Case(provider: "AnonProvider", memory: "anonymous", pageSize: 4096),
    Case(provider: "ShmemProvider", memory: "shared", pageSize: 4096),
    Case(provider: "ShmemProvider", memory: "private", pageSize: 4096),
    Case(provider: "HugetlbProvider", memory: "anonymous", pageSize: 2 << 20),
    Case(provider: "HugetlbProvider", memory: "shared", pageSize: 2 << 20),
    Case(provider: "HugetlbProvider", memory: "private", pageSize: 2 << 20),
  ]
  /// What can be tried here: a test of huge pages takes them from a pool that others use too.
  static var possible: [Case] { cases.filter { !$0.isHuge || Served.hasHugePages(24) } }

  @Test("in C", .enabled(if: Checkout.find("cc") != nil, "there is no cc"), arguments: possible)
  func inC(_ memory: Case) async throws {
    let served = try Served(bytes: memory.bytes)
    let program = served.scratch.path + "/two-regions"
    let source = "\(Checkout.root)/Tests/UffdClientTests/Clients/two-regions.c"
    let built = try await Child.run(
      [Checkout.find("cc")!, "-std=gnu11", "-O1"] + Compiler.warnings
        + ["-I", Header.folder, "-o", program, source])
    try #require(built.code == 0, "\(built.story)")
    let kinds = ["anonymous": "0", "shared": "1", "private": "2"]
    try await served.run(memory.provider) { _ in
      let outcome = try await Child.run(
        [program, served.socket, kinds[memory.memory]!, "\(memory.pageSize)", served.file])
      #expect(outcome.code == 0 && outcome.output == "done\n", "\(outcome.story)")
    }
  }

  @Test("in Swift", arguments: possible)
  func inSwift(_ memory: Case) async throws {
    let served = try Served(bytes: memory.bytes)
    try await served.run(memory.provider) { _ in
      let outcome = try await swift(memory.memory, served, memory.pageSize)
      #expect(
        outcome.code == 0 && outcome.output == "whole: session 1 faults true\n", "\(outcome.story)")
    }
  }

  private func swift(
    _ scenario: String, _ served: Served, _ pageSize: Int = 4096,
    during: @Sendable (Child) async throws -> Void = { _ in }
  ) async throws -> Outcome {
    try await Child.run(
      [
        Checkout.products + "/RemoteMemoryClient", scenario, served.socket, served.file,
        "\(pageSize)",
      ], during: during)
  }

  @Test("remote memory that goes takes everything along, and refusals say why")
  func endings() async throws {
    let served = try Served(bytes: 1 << 20)
    try await served.run("AnonProvider") { _ in
      let ended = try await swift("ends", served)
      #expect(ended.code == 0 && ended.output == "ended\n", "\(ended.story)")
      let refused = try await swift("refused", served)
      #expect(refused.code == 0, "\(refused.story)")
      #expect(refused.output.hasPrefix("refused: "), "\(refused.story)")
      #expect(refused.output.contains("\nsystem: connecting to /"), "\(refused.story)")
      let detached = try await swift("detached", served)
      #expect(detached.code == 0 && detached.output == "detached\n", "\(detached.story)")
    }
  }

  @Test("a server that is killed leaves a client that waits, and not one that reads zeroes")
  func deadServer() async throws {
    let served = try Served(bytes: 1 << 20)
    let ready = served.scratch.path + "/out"
    try await served.run("AnonProvider") { server in
      var options = Child.Options()
      options.output = ready
      let outcome = try await Child.run(
        [
          Checkout.products + "/RemoteMemoryClient", "dead", served.socket, served.file, "4096",
        ], options
      ) { _ in
        for _ in 0..<5000 where !Self.text(ready).contains("ready") {
          try await Task.sleep(for: .milliseconds(4))
        }
        server.send(SIGKILL)
      }
      #expect(outcome.code == 0, "\(outcome.story)\(Self.text(ready))")
      #expect(Self.text(ready) == "ready\nstalled\n")
    }
  }

  private static func text(_ path: String) -> String {
    (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
  }

  @Test("in Python", .enabled(if: Checkout.find("python3") != nil, "there is no python3"))
  func inPython() async throws {
    let served = try Served(bytes: 4 << 20)
    let python = [
      Checkout.find("python3")!, "\(Checkout.root)/Examples/python/lazy_array.py", served.socket,
    ]
    try await served.run("AnonProvider") { _ in
      let looked = try await Child.run(python + ["--size", "1048576", "--offset", "1048576"])
      #expect(looked.code == 0 && looked.output.contains("100 looks in "), "\(looked.story)")
      let drained = try await Child.run(
        python + ["--drain", "--compare", served.file])
      #expect(drained.code == 0, "\(drained.story)")
      #expect(drained.output.contains(" of \(4 << 20) bytes are here"), "\(drained.story)")
      #expect(drained.output.hasSuffix("as in \(served.file)\n"), "\(drained.story)")
      let refused = try await Child.run(python + ["--size", "\(1 << 30)"])
      #expect(refused.code == 1, "\(refused.story)")
      #expect(refused.errors.hasPrefix("lazy_array: "), "\(refused.story)")
      #expect(refused.errorLines.count == 1, "\(refused.story)")
    }
  }
}

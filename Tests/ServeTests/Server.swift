// SPDX-License-Identifier: Apache-2.0
// A server at work and the clients that its tests send to it. What must hold afterwards is checked here for all of
// them: the server ends when it is told to, has as many descriptors as before, and found no fault with itself.
import Foundation
import Glibc
import TestSupport
import Testing

/// A server that listens.
struct Server: Sendable {
  let child: Child
  let socket: String
  /// Bytes of the object, which shows pattern=7.
  let object: UInt64
  let client: String

  /// Runs the test client, as `play("touch --threads 4")`, to its end. It must find every byte right.
  @discardableResult
  func play(
    _ scenario: String, code: Int32? = 0, signal: Int32? = nil,
    during: @Sendable (Child) async throws -> Void = { _ in }
  ) async throws -> JSONValue {
    var options = Child.Options()
    options.limit = 130
    let outcome = try await Child.run(words(scenario), options, during: during)
    if outcome.code == 77 {
      try Test.cancel("\(outcome.output.split(separator: "\n").last ?? "it does not apply here")")
    }
    #expect(
      outcome.code == code && outcome.signal == signal,
      "client \(scenario): \(outcome.story)")
    let line = outcome.output.split(separator: "\n").last { $0.hasPrefix("{") }
    return try line.map { try JSONValue(parsing: String($0)) } ?? .null
  }

  private func words(_ scenario: String) -> [String] {
    let own = scenario.split(separator: " ").map(String.init)
    let alarm = own.contains("--alarm") ? [] : ["--alarm", "60"]
    return [client] + own + ["--socket", socket, "--seed", "7", "--object", "\(object)"] + alarm
  }

  /// What `uffdhost status --json` says.
  func status() async throws -> JSONValue {
    var options = Child.Options()
    options.isIdle = true
    let outcome = try await Child.run(
      [Checkout.uffdhost, "status", "--socket", socket, "--json"], options)
    #expect(outcome.code == 0, "\(outcome.story)")
    return try JSONValue(parsing: outcome.output)
  }

  /// How many descriptors it has.
  var descriptors: Int {
    (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(child.pid)/fd").count) ?? -1
  }

  /// How many it has once it is through with its own beginning, which opens some and closes others.
  func settledDescriptors() async throws -> Int {
    var (count, looks) = (descriptors, 0)
    for _ in 0..<1000 where looks < 20 {
      try await Task.sleep(for: .milliseconds(10))
      let now = descriptors
      looks = now == count ? looks + 1 : 0
      count = now
    }
    return count
  }

  /// Waits until it has as many descriptors as it had before its clients came.
  func expectDescriptors(_ before: Int, _ story: String = "") async throws {
    for _ in 0..<1000 where descriptors != before { try await Task.sleep(for: .milliseconds(10)) }
    #expect(descriptors == before, "descriptors of the server afterwards. \(story)")
  }

  /// Waits until somebody listens at the path, without connecting to it.
  static func isListening(at path: String, _ child: Child) async throws -> Bool {
    for _ in 0..<6000 {
      if FileManager.default.fileExists(atPath: path), accepts(path) { return true }
      if kill(child.pid, 0) != 0 { return false }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }

  private static func accepts(_ path: String) -> Bool {
    // Names without a file may be no UTF-8.
    let table = String(
      decoding: FileManager.default.contents(atPath: "/proc/net/unix") ?? Data(), as: UTF8.self)
    // A socket may have been made under another name, and moved to its own when it listened.
    return table.split(separator: "\n").contains { line in
      (line.hasSuffix(" " + path) || line.hasSuffix(" " + path + "~"))
        // Flag 0x10000: it accepts connections.
        && line.split(separator: " ")[3] == "00010000"
    }
  }
}

extension Server {
  /// Sends these signals, a little apart, as soon as the client has said that it is ready.
  func endsOnceReady(_ client: Child, _ signals: Int32...) async throws {
    for _ in 0..<4000 {
      if client.said("ready") { break }
      try await Task.sleep(for: .milliseconds(5))
    }
    for signal in signals {
      child.send(signal)
      try await Task.sleep(for: .milliseconds(200))
    }
  }
}

extension Child {
  /// Whether it has printed this line. Its standard output is a file.
  func said(_ line: String) -> Bool {
    let text = try? String(contentsOfFile: "/proc/\(pid)/fd/1", encoding: .utf8)
    return text?.split(separator: "\n").contains { $0 == line } == true
  }

  /// Waits until it has become another program.
  func isNow(_ name: String) async throws -> Bool {
    for _ in 0..<4000 {
      let comm = try? String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8)
      if comm?.trimmingCharacters(in: .whitespacesAndNewlines) == name { return true }
      try await Task.sleep(for: .milliseconds(5))
    }
    return false
  }
}

/// Few servers at one time: each has clients with many threads, whose limits are in seconds.
actor Turns {
  static let shared = Turns()
  private var places = 4
  private var waiting: [CheckedContinuation<Void, Never>] = []

  func take() async {
    if places > 0 {
      places -= 1
    } else {
      await withCheckedContinuation { waiting.append($0) }
    }
  }

  func giveBack() {
    if waiting.isEmpty { places += 1 } else { waiting.removeFirst().resume() }
  }

  /// Runs `body` when it is its turn.
  static func one<Result: Sendable>(
    _ body: () async throws -> Result
  ) async throws -> Result {
    await shared.take()
    do {
      let result = try await body()
      await shared.giveBack()
      return result
    } catch {
      await shared.giveBack()
      throw error
    }
  }
}

/// How a server is started and what is expected of its end.
struct Service: Sendable {
  var provider = ["anon"]
  var object: UInt64 = 16 << 20
  var options: [String] = []
  /// It may report errors: its provider fails, or its client does what is wrong.
  var mayComplain = false
  /// It is not told to go: the test does that, or kills it.
  var isLeftAlone = false
  /// It starts with so few descriptors.
  var mostDescriptors: Int?

  /// For memory of this kind, handed over as `dialect` does.
  static func of(_ memory: String, object: UInt64 = 16 << 20) -> Service {
    let provider = memory.hasPrefix("hugetlb") ? "hugetlb" : memory == "anon" ? "anon" : "shmem"
    return Service(provider: [provider], object: object)
  }

  /// A provider that answers after `delay`, and fails as the other parameters say (slow_provider.c).
  static func slow(_ parameters: String, object: UInt64 = 16 << 20) -> Service {
    Service(
      provider: ["slow"] + parameters.split(separator: " ").map(String.init), object: object)
  }

  private func arguments(_ programs: Programs, _ socket: String) -> [String] {
    let name = provider[0] == "slow" ? programs.slowProvider : provider[0]
    let seed = provider[0] == "slow" ? "seed=7" : "pattern=7"
    let command =
      [Checkout.uffdhost, "serve", "--provider", name] + provider.dropFirst()
      + [seed, "size=\(object)", "--listen", socket, "--exit-with-parent"] + options
    guard let mostDescriptors else { return command }
    return ["/bin/sh", "-c", "ulimit -n \(mostDescriptors) && exec \"$@\"", "sh"] + command
  }

  /// Serves for as long as `body` takes; then it is told to go.
  @discardableResult
  func run(_ body: @Sendable (Server) async throws -> Void) async throws -> Outcome {
    let programs = try await Programs.shared
    let socket = Programs.scratchFile("\(UUID().uuidString.prefix(8)).sock")
    var options = Child.Options()
    options.isIdle = true
    options.limit = 400
    let outcome = try await Turns.one {
      try await serve(arguments(programs, socket), options, programs, socket, body)
    }
    if isLeftAlone { return outcome }
    #expect(outcome.code == 0 && !outcome.isTimedOut, "uffdhost serve: \(outcome.story)")
    if !mayComplain {
      let complaints = outcome.errorLines.filter { $0.hasPrefix("uffdhost: error") }
      #expect(complaints.isEmpty, "\(outcome.story)")
    }
    return outcome
  }

  private func serve(
    _ arguments: [String], _ options: Child.Options, _ programs: Programs, _ socket: String,
    _ body: @Sendable (Server) async throws -> Void
  ) async throws -> Outcome {
    try await Child.run(arguments, options) { child in
      guard try await Server.isListening(at: socket, child) else {
        // It ends with what it has to say.
        Issue.record("uffdhost serve does not listen")
        return child.send(SIGTERM)
      }
      let server = Server(child: child, socket: socket, object: object, client: programs.client)
      let before = try await server.settledDescriptors()
      try await body(server)
      if isLeftAlone { return }
      try await server.expectDescriptors(before)
      child.send(SIGTERM)
    }
  }
}

/// Whether this machine can serve faults at all.
let canServe = unsafe access("/dev/userfaultfd", R_OK | W_OK) == 0 || geteuid() == 0

let dialects = ["fc1.1", "fc1.7", "fc1.12", "e2b", "native"]
let memories = ["anon", "shmem", "shmem-private", "hugetlb", "hugetlb-private"]

/// Cancels the test that runs unless the pool has these huge pages.
func needHugePages(_ memory: String, bytes: Int = 64 << 20) throws {
  guard memory.hasPrefix("hugetlb") else { return }
  let pages = bytes >> 21
  if Checkout.freeHugePages < pages {
    try Test.cancel("needs \(pages) free huge pages of 2 MiB: scripts/huge-pages \(pages)")
  }
}

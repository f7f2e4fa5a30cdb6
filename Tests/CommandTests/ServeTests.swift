// SPDX-License-Identifier: Apache-2.0
// `uffdhost serve` and `uffdhost status` as programs: what they say, whom they let in, how they end.
// Clients that hand memory over are in UffdServerTests.
import Foundation
import Glibc
import TestSupport
import Testing

@testable import UffdServer

private let canServe = Task { () -> Bool in
  let outcome = try? await Child.run([
    Checkout.uffdhost, "--provider", "anon", "pattern=1", "size=4K",
  ])
  return outcome?.code == 0
}

/// For programs while which others run: they hold no place among those that may run at one time.
private var idle: Child.Options {
  var options = Child.Options()
  options.isIdle = true
  return options
}

/// Runs a server of a small pattern until `body` has ended it.
private func serve(
  _ options: [String], wrapper: [String] = [], environment: [String: String] = [:],
  _ body: @Sendable @escaping (Child, String) async throws -> Void
) async throws -> Outcome {
  let scratch = try Scratch()
  let path = scratch.path + "/s"
  var childOptions = idle
  childOptions.environment = environment
  // Programs that ask it stand in line with those of other tests.
  childOptions.limit = 300
  return try await Child.run(
    wrapper + [Checkout.uffdhost, "serve", "--provider", "anon", "pattern=1", "size=1M"]
      + ["--listen", path] + options, childOptions
  ) { child in
    for _ in 0..<2000 where !FileManager.default.fileExists(atPath: path) {
      try await Task.sleep(for: .milliseconds(5))
    }
    try await body(child, path)
  }
}

@Suite(.enabled("memory cannot be served here: uffdhost doctor says why") { await canServe.value })
struct ServeTests {
  @Test func `a server answers for its state, and ends when it is told to`() async throws {
    let outcome = try await serve(["--log", "json"]) { child, path in
      let asked = try await uffdhost(["status", "--socket", path, "--json"])
      #expect(asked.code == 0, "\(asked.story)")
      let state = try JSONValue(parsing: asked.output)
      #expect(state["server"]["provider"].text == "anon")
      #expect(state["server"]["phase"].text == "serving")
      #expect(state["server"]["pid"].number == UInt64(child.pid))
      #expect(state["sessions"].list == [])
      let text = try await uffdhost(["status", "--socket", path])
      #expect(text.output.hasPrefix("server   pid \(child.pid), provider 'anon', serving"))
      child.send(SIGHUP)
      child.send(SIGTERM)
    }
    #expect(outcome.code == 0 && outcome.output.isEmpty, "\(outcome.story)")
    let lines = try outcome.errorLines.map { try JSONValue(parsing: $0) }
    #expect(lines.allSatisfy { $0["level"].text == "info" && $0["time"].text?.count == 24 })
    #expect(lines.contains { $0["message"].text?.contains("nothing to read again") == true })
  }

  @Test func `status says why nobody answers`() async throws {
    let scratch = try Scratch()
    expectError(
      try await uffdhost(["status", "--socket", scratch.path + "/s"]), code: 1, "no such file")
    let file = try scratch.file("f", "")
    expectError(
      try await uffdhost(["status", "--socket", file]), code: 1, "nobody listens (ECONNREFUSED)")
    let long = scratch.path + "/" + String(repeating: "x", count: 200)
    expectError(try await uffdhost(["status", "--socket", long]), code: 1, "ENAMETOOLONG")
  }

  @Test func `what cannot be served is refused in a sentence`() async throws {
    let anon = ["serve", "--provider", "anon", "pattern=1", "size=1M"]
    expectError(try await uffdhost(anon), code: 2, "--listen SOCKET")
    let nowhere = try await uffdhost(anon + ["--listen", "/nowhere/s"])
    expectError(nowhere, code: 4, "'/nowhere/s.lock'", "ENOENT")
    let scratch = try Scratch()
    let file = try scratch.file("f", "kept")
    expectError(try await uffdhost(anon + ["--listen", file]), code: 2, "is no socket")
    #expect(try String(contentsOfFile: file, encoding: .utf8) == "kept")
    let path = scratch.path + "/s"
    expectError(
      try await uffdhost(anon + ["--listen", path, "--dialect", "klingon"]), code: 2, "'klingon'",
      "native, firecracker")
    expectError(
      try await uffdhost(anon + ["--listen", path, "--socket-owner", "nobody-of-that-name"]),
      code: 2, "no user 'nobody-of-that-name'")
    expectError(
      try await uffdhost(["serve", "--provider", "/nowhere.so", "--listen", path]), code: 2,
      "/nowhere.so")
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["f"])
  }

  @Test func `a second server at the same path is refused`() async throws {
    let outcome = try await serve([]) { child, path in
      let second = try await uffdhost(
        ["serve", "--provider", "anon", "pattern=1", "size=1M", "--listen", path])
      expectError(second, code: 2, "another server serves at '\(path)'")
      #expect(try await uffdhost(["status", "--socket", path]).code == 0)
      child.send(SIGINT)
    }
    #expect(outcome.code == 0, "\(outcome.story)")
  }

  @Test func `a server that was killed leaves a path that can be used again`() async throws {
    let scratch = try Scratch()
    let path = scratch.path + "/s"
    for signal in [SIGKILL, SIGTERM] {
      let outcome = try await Child.run(
        [
          Checkout.uffdhost, "serve", "--provider", "anon", "pattern=1", "size=1M", "--listen",
          path,
        ], idle
      ) { child in
        for _ in 0..<400 {
          if try await uffdhost(["status", "--socket", path]).code == 0 { break }
        }
        child.send(signal)
      }
      #expect(signal == SIGKILL ? outcome.signal == SIGKILL : outcome.code == 0)
      #expect(FileManager.default.fileExists(atPath: path) == (signal == SIGKILL))
    }
  }

  @Test func `--run returns the code of the command, which can talk to the server`() async throws {
    let scratch = try Scratch()
    let command = "\"\(Checkout.uffdhost)\" status --socket \"$UFFDHOST_SOCKET\" && exit 42"
    let outcome = try await uffdhost([
      "serve", "--provider", "anon", "pattern=1", "size=1M", "--listen", scratch.path + "/s",
      "--run", command,
    ])
    #expect(outcome.code == 42, "\(outcome.story)")
    #expect(outcome.output.hasPrefix("server   pid "), "\(outcome.story)")
  }

  @Test func `--exit-with-parent ends with the process that started it`() async throws {
    let scratch = try Scratch()
    let path = scratch.path + "/s"
    let script = """
      "$0" serve --provider anon pattern=1 size=1M --listen "$1" --exit-with-parent 2> "$1.log" &
      while ! test -S "$1"; do sleep 0.01; done
      """
    let outcome = try await Child.run(["/bin/sh", "-c", script, Checkout.uffdhost, path])
    #expect(outcome.code == 0, "\(outcome.story)")
    for _ in 0..<2000 where FileManager.default.fileExists(atPath: path + ".lock") {
      try await Task.sleep(for: .milliseconds(5))
    }
    #expect(!FileManager.default.fileExists(atPath: path))
    let log = try String(contentsOfFile: path + ".log", encoding: .utf8)
    #expect(log.contains("the parent has ended"), "\(log)")
  }

  @Test(.enabled(if: Checkout.find("systemd-socket-activate") != nil, "there is no such tool"))
  func `a socket that is passed on is used, and left to its owner`() async throws {
    let scratch = try Scratch()
    let path = scratch.path + "/s"
    let tool = try #require(Checkout.find("systemd-socket-activate"))
    let outcome = try await Child.run(
      [
        tool, "-l", path, Checkout.uffdhost, "serve", "--provider", "anon", "pattern=1", "size=1M",
      ], idle
    ) { child in
      for _ in 0..<2000 where !FileManager.default.fileExists(atPath: path) {
        try await Task.sleep(for: .milliseconds(5))
      }
      let asked = try await uffdhost(["status", "--socket", path])
      #expect(asked.code == 0, "\(asked.story)")
      child.send(SIGTERM)
    }
    #expect(outcome.code == 0, "\(outcome.story)")
    #expect(FileManager.default.fileExists(atPath: path))
    #expect(!FileManager.default.fileExists(atPath: path + ".lock"))
  }

  /// Connects as the user nobody, asks for the state, and prints what comes: in Perl, which every
  /// user can start.
  private static func asNobody(_ path: String) async throws -> Outcome {
    let script = """
      use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un($ARGV[0])) or exit 3;
      $SIG{PIPE} = "IGNORE"; syswrite(S, pack("H*", $ARGV[1]));
      for (;;) { sysread(S, $b, 65536) or exit 0; syswrite(STDOUT, $b); $b =~ /may not/ and exit 0 }
      """
    let conversation = NativeStatusConversation()
    let bytes = (conversation.opening + conversation.question).map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    return try await Child.run(
      Nobody.wrapper + ["/usr/bin/perl", "-e", script, path, bytes.joined()])
  }

  @Test(
    .enabled(if: Nobody.isPossible, "this needs root and setpriv"),
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/perl"), "there is no Perl"))
  func `others are let in when they are named, and never see the state`() async throws {
    let closed = try await serve(["--socket-mode", "0666"]) { child, path in
      let asked = try await Self.asNobody(path)
      #expect(asked.code == 0 && asked.output.isEmpty, "\(asked.story)")
      child.send(SIGTERM)
    }
    #expect(closed.errors.contains("'--allow-uid 65534' lets him in"), "\(closed.story)")
    let ways = [
      ["--allow-uid", "65530-65534", "--socket-mode", "0666"], ["--socket-owner", "65534"],
      ["--allow-uid", "nobody", "--socket-mode", "0602"],
    ]
    for options in ways {
      let open = try await serve(options) { child, path in
        let asked = try await Self.asNobody(path)
        #expect(asked.code == 0, "\(asked.story)")
        #expect(asked.output.contains("may not see what other clients do"), "\(options)")
        child.send(SIGTERM)
      }
      #expect(open.code == 0, "\(open.story)")
    }
    let hidden = try await serve([]) { child, path in
      let asked = try await Self.asNobody(path)
      #expect(asked.code == 3, "\(asked.story)")
      child.send(SIGTERM)
    }
    #expect(hidden.code == 0 && !hidden.errors.contains("refused:"), "\(hidden.story)")
  }
}

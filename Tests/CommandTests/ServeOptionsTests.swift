// SPDX-License-Identifier: Apache-2.0
// `uffdhost serve` and `uffdhost status`: their words, their defaults, and that their options
// belong to nothing else.
import Testing
import UffdHost

@testable import UffdServer
@testable import uffdhost

private func refusal(_ words: String...) -> String {
  do {
    _ = try Command.parse(words)
    return ""
  } catch { return error.message }
}

private func serve(_ line: String) throws -> ServeOptions {
  let words = ("serve --provider x " + line).split(separator: " ").map(String.init)
  guard case .serve(let options) = try Command.parse(words) else { throw Strange() }
  return options
}

private struct Strange: Error {}

@Test func `serve takes a provider, parameters and a socket`() throws {
  var wanted = ServeOptions(provider: "x")
  wanted.listen = "/run/a.sock"
  wanted.parameters = [Parameter("image", "disk"), Parameter("label", "a=b")]
  #expect(try serve("image=disk --listen /run/a.sock label=a=b") == wanted)
  // A service manager may pass the socket, so the words alone are good without one.
  #expect(try serve("").listen == nil)
  #expect(try Command.parse(["--provider", "x", "serve"]) == .serve(ServeOptions(provider: "x")))
}

private let settings: [(String, @Sendable (inout ServeOptions) -> Void)] = [
  ("--readers 4", { $0.readers = 4 }),
  ("--fault-around off", { $0.faultAround = .off }),
  ("--fault-around 8", { $0.faultAround = .upTo(8) }),
  ("--on-error hold", { $0.onError = .hold }),
  ("--record a.ws", { $0.record = "a.ws" }),
  ("--replay a.ws", { $0.replay = "a.ws" }),
  ("--background-fill", { $0.fillsInBackground = true }),
  (
    "--replay a.ws --background-fill --fill-rate 64K",
    { ($0.replay, $0.fillsInBackground, $0.fillRate) = ("a.ws", true, 65536) }
  ),
  ("--on-error kill", { ($0.onError, $0.server.killsRefused) = (.kill, true) }),
  ("--deadline 0.5", { $0.deadlineNanoseconds = 500_000_000 }),
  ("--socket-mode 0660", { $0.socketMode = 0o660 }),
  ("--socket-mode 600", { $0.socketMode = 0o600 }),
  ("--socket-owner jail", { $0.socketOwner = .init(user: "jail") }),
  ("--socket-owner 1000:kvm", { $0.socketOwner = .init(user: "1000", group: "kvm") }),
  ("--socket-owner :kvm", { $0.socketOwner = .init(group: "kvm") }),
  ("--allow-uid 7 --allow-uid 10-19", { $0.allowedUsers = ["7", "10-19"] }),
  ("--dialect native", { $0.server.dialect = "native" }),
  ("--dialect auto", { _ in }),
  ("--max-clients 2", { $0.server.mostClients = 2 }),
  ("--max-regions 3", { $0.server.mostRegions = 3 }),
  ("--max-handshakes 4", { $0.server.mostHandshakes = 4 }),
  ("--max-memory 64M", { $0.mostMemory = 64 << 20 }),
  ("--handshake-timeout 1.5", { $0.server.handshakeNanoseconds = 1_500_000_000 }),
  ("--drain-timeout 300", { $0.server.drainNanoseconds = 300_000_000_000 }),
  ("--run true", { $0.server.command = "true" }),
  ("--exit-with-parent", { $0.server.exitsWithParent = true }),
  ("--log json --log-level debug", { ($0.log, $0.logLevel) = (.json, .debug) }),
]

@Test func `each option of serve sets one thing`() throws {
  for (line, change) in settings {
    var wanted = ServeOptions(provider: "x")
    change(&wanted)
    #expect(try serve(line) == wanted, "\(line)")
  }
  for name in OptionName.allCases where name.owner == "serve" && name != .listen {
    #expect(settings.contains { $0.0.contains(name.spelled) }, "\(name.spelled) is not tested")
  }
}

@Test func `serve refuses what it cannot mean`() {
  #expect(refusal("serve").contains("needs a provider"))
  #expect(refusal("serve", "--provider", "x", "image").contains("key=value"))
  #expect(refusal("serve", "--provider", "x", "--threads", "2").contains("no meaning for 'serve'"))
  #expect(refusal("serve", "--provider", "x", "--json").contains("no meaning for 'serve'"))
  let broken = [
    ("--socket-mode=9", "permission bits"), ("--socket-mode=01777", "permission bits"),
    ("--socket-mode=rw-", "permission bits"), ("--socket-owner=", "USER:GROUP"),
    ("--socket-owner=:", "USER:GROUP"), ("--socket-owner=a:b:c", "USER:GROUP"),
    ("--max-clients=0", "from 1"), ("--handshake-timeout=0", "a handshake needs some time"),
    ("--drain-timeout=0", "filling pages needs some time"), ("--log=xml", "text or json"),
    ("--log-level=all", "error, warning, info or debug"), ("--run=", "empty value"),
    ("--max-memory=0", "at least 1 byte"),
  ]
  for (word, says) in broken {
    #expect(refusal("serve", "--provider", "x", word).contains(says), "\(word)")
  }
}

@Test func `options of serve and status belong to nothing else`() {
  for option in ["--listen=a", "--run=true", "--exit-with-parent", "--max-clients=2"] {
    #expect(refusal("--provider", "x", option).contains("belongs to 'serve'"))
    #expect(refusal("check", "x", option).contains("no meaning for 'check'"))
    #expect(refusal("status", "--socket", "a", option).contains("no meaning for 'status'"))
  }
  #expect(refusal("--provider", "x", "--socket=a").contains("belongs to 'status'"))
  #expect(refusal("serve", "--provider", "x", "--socket=a").contains("no meaning for 'serve'"))
}

@Test func `status takes a socket`() throws {
  #expect(
    try Command.parse(["status", "--socket", "a.sock"]) == .status(socket: "a.sock", json: false))
  #expect(
    try Command.parse(["status", "--json", "--socket=a"]) == .status(socket: "a", json: true))
  #expect(refusal("status").contains("--socket SOCKET"))
  #expect(refusal("status", "a.sock").contains("--socket SOCKET"))
}

@Test func `the defaults of serve on the help page are those of a server`() throws {
  let serve = ServeOptions(provider: "x")
  let server = serve.server
  let defaults: [(OptionName, String)] = [
    (.socketMode, "0" + String(serve.socketMode, radix: 8)), (.dialect, "auto"),
    (.maxClients, "\(server.mostClients)"), (.maxRegions, "\(server.mostRegions)"),
    (.maxHandshakes, "\(server.mostHandshakes)"),
    (.handshakeTimeout, "\(server.handshakeNanoseconds / 1_000_000_000)"),
    (.maxMemory, "\(serve.mostMemory >> 30)G"),
    (.drainTimeout, "\(server.drainNanoseconds / 1_000_000_000)"), (.log, serve.log.rawValue),
    (.logLevel, serve.logLevel.rawValue),
  ]
  for (name, value) in defaults {
    let start = try #require(Usage.program.firstRange(of: "\n  \(name.spelled) "))
    let rest = Usage.program[start.upperBound...]
    let given = try #require(rest.firstRange(of: "default: "))
    #expect(rest[given.upperBound...].hasPrefix(value + ")"), "\(name.spelled)")
  }
}

@Test func `users are names, numbers and ranges`() throws {
  #expect(try Accounts.users("root") == 0...0)
  #expect(try Accounts.users("1000") == 1000...1000)
  #expect(try Accounts.users("10-12") == 10...12)
  #expect(try Accounts.owner(.init(user: "root", group: "0")) == SocketOwner(uid: 0, gid: 0))
  for text in ["12-10", "nobody-of-that-name", "4294967295", "4294967296", ""] {
    #expect(throws: HostError.self, "\(text)") { try Accounts.users(text) }
  }
}

// SPDX-License-Identifier: Apache-2.0
// A real nbdkit on a unix socket of its own.
import Foundation
import Glibc
import TestSupport

struct NBDServer: Sendable {
  let socket: String
  var uri: String { "nbd+unix:///?socket=\(socket)" }

  /// Runs nbdkit for as long as `body` takes.
  func run(
    _ arguments: [String], body: @Sendable (Child) async throws -> Void
  ) async throws {
    unsafe unlink(socket)
    let ready = socket + ".pid"
    unsafe unlink(ready)
    var options = Child.Options()
    options.isIdle = true
    options.limit = 100
    let nbdkit = Checkout.find("nbdkit")!
    let outcome = try await Child.run(
      [nbdkit, "-f", "--exit-with-parent", "-P", ready, "-U", socket] + arguments, options
    ) { server in
      defer { server.send(SIGKILL) }
      try await wait("nbdkit to listen", server) {
        (try? String(contentsOfFile: ready, encoding: .utf8)) != nil
      }
      try await body(server)
    }
    if outcome.signal != SIGKILL { throw SpawnFailure(text: "nbdkit: \(outcome.story)") }
  }

  /// Waits until the server has read so many bytes of its file.
  static func hasRead(_ bytes: UInt64, _ server: Child) async throws {
    try await wait("reads", server) {
      let text = try? String(contentsOfFile: "/proc/\(server.pid)/io", encoding: .utf8)
      let word = text?.split(separator: "\n").first?.split(separator: " ").last
      return word.flatMap { UInt64($0) } ?? 0 >= bytes
    }
  }
}

/// Polls; throws when `server` has gone or 20 seconds are over.
private func wait(
  _ what: String, _ server: Child, until condition: () -> Bool
) async throws {
  for _ in 0..<10_000 {
    if condition() { return }
    if kill(server.pid, 0) != 0 { break }
    try await Task.sleep(for: .milliseconds(2))
  }
  throw SpawnFailure(text: "waited in vain for \(what)")
}

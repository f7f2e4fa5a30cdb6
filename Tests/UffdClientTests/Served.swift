// SPDX-License-Identifier: Apache-2.0
// A real 'uffdhost serve' on a socket of its own, with a file of noise for its content.
import Foundation
import Glibc
import TestSupport

struct Served: Sendable {
  let scratch: Scratch
  let file: String
  var socket: String { scratch.path + "/socket" }

  /// `bytes` of content.
  init(bytes: Int) throws {
    scratch = try Scratch()
    file = try scratch.noise("content", bytes: bytes)
  }

  /// Serves the file by a provider while `body` runs.
  func run(
    _ provider: String, body: @Sendable (Child) async throws -> Void
  ) async throws {
    var options = Child.Options()
    options.isIdle = true
    options.limit = 120
    let outcome = try await Child.run(
      [
        Checkout.uffdhost, "serve", "--provider", "\(Checkout.products)/lib\(provider).so",
        "image=\(file)", "--listen", socket,
      ], options
    ) { server in
      defer { server.send(SIGKILL) }
      try await wait(for: server)
      try await body(server)
    }
    if outcome.signal != SIGKILL { throw SpawnFailure(text: "serve: \(outcome.story)") }
  }

  private func wait(for server: Child) async throws {
    for _ in 0..<5000 {
      if unsafe access(socket, F_OK) == 0 { return }
      if kill(server.pid, 0) != 0 { break }
      try await Task.sleep(for: .milliseconds(4))
    }
    throw SpawnFailure(text: "'uffdhost serve' does not listen")
  }

  /// Free huge pages of 2 MiB, of which a test needs some.
  static func hasHugePages(_ count: Int) -> Bool {
    let path = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
    let text = try? String(contentsOfFile: path, encoding: .utf8)
    return Int(text?.trimmingCharacters(in: .whitespacesAndNewlines) ?? "") ?? 0 >= count
  }

  /// The kernel lets us watch memory.
  static let canServe: Bool = {
    let result = unsafe access("/dev/userfaultfd", R_OK | W_OK)
    let setting = try? String(
      contentsOfFile: "/proc/sys/vm/unprivileged_userfaultfd", encoding: .utf8)
    return result == 0 || geteuid() == 0 || setting?.hasPrefix("1") == true
  }()
}

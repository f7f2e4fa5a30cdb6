// SPDX-License-Identifier: Apache-2.0
// The example as its README compiles it, the image that the tests restore, and what they need to run.
import Foundation
import TestSupport

/// Made once for all tests of the target.
enum NBDExample {
  static let megabyte: UInt64 = 1 << 20
  static let imageSize = 256 * megabyte

  /// Why the example cannot be tried here; nil: it can.
  static func obstacle() async -> String? {
    for tool in ["cc", "pkg-config", "nbdkit"] where Checkout.find(tool) == nil {
      return "there is no \(tool)"
    }
    let libnbd = try? await Child.run([Checkout.find("pkg-config")!, "--exists", "libnbd"])
    if libnbd?.code != 0 { return "libnbd has no development files here" }
    let probe = try? await Child.run(
      [Checkout.uffdhost, "--provider", "anon", "pattern=1", "size=4K"])
    return probe?.code == 0 ? nil : "no memory can be served here (uffdhost doctor says why)"
  }

  static let isPossible = Task { () -> Bool in
    guard let obstacle = await obstacle() else { return true }
    print("the NBD example is not tried: \(obstacle)")
    return false
  }

  private static let made = Task { () -> (scratch: Scratch, library: String, image: String) in
    let scratch = try Scratch()
    let image = scratch.path + "/image"
    var options = Child.Options()
    options.output = image
    let random = try await Child.run(
      ["/usr/bin/head", "-c", "\(imageSize)", "/dev/urandom"], options)
    guard random.code == 0 else { throw SpawnFailure(text: "no image: \(random.story)") }
    return (scratch, try await compile(in: scratch), image)
  }

  static var library: String { get async throws { try await made.value.library } }
  static var image: String { get async throws { try await made.value.image } }

  /// Runs the line of the README, with an uffdhost.pc that leads to the header of this checkout.
  private static func compile(in scratch: Scratch) async throws -> String {
    let example = Checkout.root + "/Examples/nbd"
    let readme = try String(contentsOfFile: example + "/README.md", encoding: .utf8)
    guard let line = readme.split(separator: "\n").first(where: { $0.hasPrefix("cc ") }) else {
      throw SpawnFailure(text: "the README has no line that compiles the example")
    }
    _ = try scratch.copy(example + "/nbd-provider.c", as: "nbd-provider.c")
    try scratch.file(
      "uffdhost.pc",
      "Name: uffdhost\nDescription: x\nVersion: 1\nCflags: -I\(Checkout.header)\nLibs:\n")
    var options = Child.Options()
    options.environment["PKG_CONFIG_PATH"] = scratch.path
    let command = line.replacing("cc ", with: "cc -Werror ", maxReplacements: 1)
    let outcome = try await Child.run(
      ["/bin/sh", "-c", "cd '\(scratch.path)' && \(command)"], options)
    guard outcome.code == 0 else { throw SpawnFailure(text: outcome.story) }
    return scratch.path + "/libNbdProvider.so"
  }

  /// Serves memory out of `server`.
  static func run(
    _ server: NBDServer, _ arguments: [String], limit: Double = 60,
    during: @Sendable (Child) async throws -> Void = { _ in }
  ) async throws -> Outcome {
    var options = Child.Options()
    options.limit = limit
    return try await Child.run(
      [Checkout.uffdhost, "--provider", library, "uri=\(server.uri)", "--json"] + arguments,
      options, during: during)
  }
}

extension NBDExample {
  /// The same with two servers, of which `untilGone` ends the first; the second has its arguments, or `then`.
  static func run(
    _ server: NBDServer, _ arguments: [String], connecting nbdkit: [String],
    then second: [String]? = nil, untilGone: @escaping @Sendable (Child) async throws -> Void
  ) async throws -> Outcome {
    let outcome = Shelf<Outcome>()
    try await server.run(nbdkit) { first in
      let ended = Shelf<Bool>()
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          await outcome.put(try await run(server, arguments))
          await ended.put(true)
        }
        group.addTask {
          try await untilGone(first)
          try await server.run(second ?? nbdkit) { _ in
            while await ended.value == nil { try await Task.sleep(for: .milliseconds(10)) }
          }
        }
        try await group.waitForAll()
      }
    }
    return await outcome.value!
  }
}

/// A value on its way out of a closure that returns none.
actor Shelf<Value: Sendable> {
  private(set) var value: Value?
  func put(_ value: Value) { self.value = value }
}

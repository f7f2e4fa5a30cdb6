// SPDX-License-Identifier: Apache-2.0
// An installed tree below a folder of its own, made of what this build has.
import Foundation
import TestSupport

struct Tree {
  let scratch: Scratch
  let libdir: String
  var root: String { scratch.path + "/tree" }
  var uffdhost: String { root + "/usr/local/bin/uffdhost" }
  var home: String { "\(root)\(libdir)/uffdhost" }

  /// Installs; throws what the script said if it fails.
  init(libdir: String? = nil) async throws {
    scratch = try Scratch()
    self.libdir = libdir ?? "/usr/local/lib"
    let outcome = try await Tree.script(
      "install", libdir.map { ["LIBDIR": $0] } ?? [:], root: scratch.path + "/tree")
    guard outcome.code == 0 else { throw SpawnFailure(text: outcome.story) }
  }

  static func script(
    _ name: String, _ environment: [String: String] = [:], root: String
  ) async throws -> Outcome {
    var options = Child.Options()
    options.environment = [
      "PREFIX": "/usr/local", "DESTDIR": root, "BUILD": "no", "PRODUCTS": Checkout.products,
    ].merging(environment) { $1 }
    return try await Child.run(["\(Checkout.root)/scripts/\(name)"], options)
  }

  /// Runs a line of a shell with nothing but the tree in its environment.
  func shell(_ line: String, _ environment: [String] = []) async throws -> Outcome {
    let path =
      "\(root)/usr/local/bin:" + (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin")
    let variables =
      [
        "PATH=\(path)", "HOME=\(scratch.path)", "SWIFT_BACKTRACE=enable=no",
        "PKG_CONFIG_SYSROOT_DIR=\(root)", "PKG_CONFIG_LIBDIR=\(root)\(libdir)/pkgconfig",
      ] + environment
    return try await Child.run(
      ["/usr/bin/env", "-i"] + variables + ["/bin/sh", "-c", "cd '\(scratch.path)' && \(line)"])
  }

  /// All files of the tree as they will be named when it is in place.
  var files: Set<String> {
    let names = FileManager.default.enumerator(atPath: root)?.allObjects as? [String] ?? []
    return Set(
      names.filter { name in
        let attributes = try? FileManager.default.attributesOfItem(atPath: "\(root)/\(name)")
        return attributes?[.type] as? FileAttributeType != .typeDirectory
      }.map { "/" + $0 })
  }
}

/// Whether memory can be served here, as the built command says.
let canServe = Task { () -> Bool in
  let outcome = try? await Child.run(
    [Checkout.uffdhost, "--provider", "anon", "pattern=1", "size=4K"])
  return outcome?.code == 0
}

extension Page {
  static let versionOfTheProgram: Substring = {
    let source = try? String(
      contentsOfFile: Checkout.root + "/Sources/uffdhost/Main.swift", encoding: .utf8)
    return source?.firstMatch(of: #/"([0-9]+\.[0-9]+\.[0-9]+)"/#)?.output.1 ?? "not found"
  }()
}

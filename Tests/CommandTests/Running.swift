// SPDX-License-Identifier: Apache-2.0
// How the built command is run and judged, and what the system here can do. Used by the end-to-end suites.
import Foundation
import Glibc
import TestSupport
import Testing

/// Runs the built command. Where another test has the huge pages that it needs, it is run again.
func uffdhost(
  _ arguments: [String], _ options: Child.Options = Child.Options(), wrapper: [String] = [],
  expectsEmptyPool: Bool = false, during: @Sendable (Child) async throws -> Void = { _ in }
) async throws -> Outcome {
  for _ in 0..<10 {
    let outcome = try await Child.run(
      wrapper + [Checkout.uffdhost] + arguments, options, during: during)
    let isRefused = outcome.code == 4 && outcome.errors.contains("the pool has too few free ones")
    if !isRefused || expectsEmptyPool { return outcome }
    try await Task.sleep(for: .milliseconds(500))
  }
  try Test.cancel("the huge pages of the pool are in use elsewhere")
}

/// A run that is right in everything.
func expectVerified(
  _ outcome: Outcome, sourceLocation: SourceLocation = #_sourceLocation
) throws -> JSONValue {
  #expect(outcome.code == 0, "\(outcome.story)", sourceLocation: sourceLocation)
  let report = try JSONValue(parsing: outcome.output)
  #expect(report["verified"] == .boolean(true), sourceLocation: sourceLocation)
  #expect(report["errors"] == .list([]), sourceLocation: sourceLocation)
  return report
}

/// One sentence on standard error, nothing on standard output, and the code.
func expectError(
  _ outcome: Outcome, code: Int32, _ says: String...,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(outcome.code == code, "\(outcome.story)", sourceLocation: sourceLocation)
  #expect(outcome.output.isEmpty, "\(outcome.story)", sourceLocation: sourceLocation)
  #expect(outcome.errorLines.count == 1, "\(outcome.story)", sourceLocation: sourceLocation)
  #expect(outcome.errors.hasPrefix("uffdhost: "), sourceLocation: sourceLocation)
  for fragment in says {
    #expect(outcome.errors.contains(fragment), "\(outcome.story)", sourceLocation: sourceLocation)
  }
}

/// A provider of ours and its granule.
struct Ours: Sendable, CustomTestStringConvertible {
  let name: String
  let granule: UInt64
  var hasBacking: Bool { name != "anon" }
  var testDescription: String { name }

  static let all = [
    Ours(name: "anon", granule: 4096), Ours(name: "shmem", granule: 4096),
    Ours(name: "hugetlb", granule: 2 << 20),
  ]

  /// hugetlb needs pages of the pool, which other tests and programs use as well.
  func requirePages(_ bytes: UInt64) throws {
    guard name == "hugetlb" else { return }
    let needed = Int((bytes + granule - 1) / granule)
    guard Checkout.freeHugePages >= needed else {
      try Test.cancel("the pool has fewer than \(needed) free pages of 2 MiB")
    }
  }
}

/// The command as the user nobody. Copies, because that user may not reach the checkout.
struct Nobody {
  let scratch: Scratch
  static let wrapper = [
    "/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--",
  ]
  static let isPossible =
    geteuid() == 0 && FileManager.default.isExecutableFile(atPath: wrapper[0])

  init() throws {
    scratch = try Scratch()
    for file in ["uffdhost", "libAnonProvider.so", "libShmemProvider.so", "libHugetlbProvider.so"] {
      _ = try scratch.copy("\(Checkout.products)/\(file)", as: file)
    }
  }

  func run(_ arguments: [String], wrapper: [String] = []) async throws -> Outcome {
    try await Child.run(wrapper + Self.wrapper + [scratch.path + "/uffdhost"] + arguments)
  }

  /// The user must reach the Swift runtime, too.
  func requireStart() async throws {
    guard try await run(["--version"]).code == 0 else {
      try Test.cancel("the user nobody cannot start the command: is the toolchain readable for it?")
    }
  }
}

/// A mount namespace in which /dev is empty.
let emptyDev = [
  "/usr/bin/unshare", "-m", "/bin/sh", "-c", "mount -t tmpfs none /dev && exec \"$@\"", "sh",
]

/// Whether such a namespace can be had.
func canEmptyDev() async throws -> Bool {
  guard FileManager.default.isExecutableFile(atPath: emptyDev[0]) else { return false }
  return try await Child.run(emptyDev + ["/bin/true"]).code == 0
}

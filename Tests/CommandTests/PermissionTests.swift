// SPDX-License-Identifier: Apache-2.0
// The three ways to a userfaultfd: the device, the system call, and the restricted one of everybody.
import Foundation
import Glibc
import TestSupport
import Testing

private let asRoot = geteuid() == 0
private let warning = "uffdhost: warning: only a restricted userfaultfd could be opened"
private let run = ["--provider", "shmem", "pattern=1", "size=256K", "--threads", "2", "--json"]

/// Whether everybody may use the system call without restriction here.
private var isUnrestricted: Bool {
  let path = "/proc/sys/vm/unprivileged_userfaultfd"
  return (try? String(contentsOfFile: path, encoding: .utf8)).map { $0.hasPrefix("1") } ?? false
}

@Suite("Command: permissions")
struct PermissionTests {
  /// Served with an announcement where only the restricted kind can be had; else an error that says what to
  /// do.
  private func expectRestricted(_ outcome: Outcome) throws {
    if outcome.code == 4 {
      return expectError(outcome, code: 4, "userfaultfd")
    }
    _ = try expectVerified(outcome)
    #expect(outcome.errorLines.count == 1, "\(outcome.story)")
    #expect(outcome.errors.hasPrefix(warning), "\(outcome.story)")
  }

  @Test(
    "an ordinary user is served, and told what is restricted",
    .enabled(if: Nobody.isPossible, "needs root and setpriv to become another user"))
  func nobody() async throws {
    let nobody = try Nobody()
    try await nobody.requireStart()
    let outcome = try await nobody.run(run)
    let access = try await Child.run(
      Nobody.wrapper + ["/bin/sh", "-c", "exec 3<>/dev/userfaultfd"])
    if access.code == 0 || isUnrestricted {
      _ = try expectVerified(outcome)
      #expect(outcome.errors.isEmpty, "\(outcome.story)")
    } else {
      try expectRestricted(outcome)
    }
  }

  @Test(
    "without /dev/userfaultfd the system call takes over",
    .enabled(if: asRoot, "needs root for a mount namespace"))
  func withoutDevice() async throws {
    guard try await canEmptyDev() else { try Test.cancel("no mount namespace can be had here") }
    let outcome = try await uffdhost(run, wrapper: emptyDev)
    _ = try expectVerified(outcome)
    #expect(outcome.errors.isEmpty, "\(outcome.story)")
  }

  @Test(
    "without the device an ordinary user gets the restricted one",
    .enabled(if: Nobody.isPossible, "needs root and setpriv to become another user"))
  func withoutDeviceAsNobody() async throws {
    guard try await canEmptyDev() else { try Test.cancel("no mount namespace can be had here") }
    let nobody = try Nobody()
    try await nobody.requireStart()
    let outcome = try await nobody.run(run, wrapper: emptyDev)
    if isUnrestricted {
      _ = try expectVerified(outcome)
    } else {
      try expectRestricted(outcome)
    }
  }

  @Test("no descriptor left for the host: an error of the system, not a crash")
  func noDescriptors() async throws {
    // Enough to start and to load; not enough for everything that serving needs.
    for limit in 4...12 {
      let outcome = try await Child.run(
        [
          "/bin/sh", "-c", "ulimit -n \(limit) && exec \"$@\"", "sh", Checkout.uffdhost,
        ] + run)
      #expect(outcome.signal == nil && !outcome.isTimedOut, "\(limit): \(outcome.story)")
      if outcome.code == 0 {
        _ = try expectVerified(outcome)
      } else if outcome.errors.contains("uffdhost: ") {
        #expect(outcome.code == 4, "\(limit): \(outcome.story)")
        #expect(outcome.errorLines.last?.contains("EMFILE") == true, "\(limit): \(outcome.story)")
        #expect(!outcome.errors.contains("EBADF"), "\(limit): \(outcome.story)")
      } else {
        // The loader itself found too few.
        #expect(outcome.code == 127, "\(limit): \(outcome.story)")
      }
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

// How a provider says no while it is configured: a status of the contract and one sentence. The kit
// hands the sentence to the host. Control thread only; the fault path answers with a bare status.

internal import CLinux
internal import Glibc
public import UffdPluginABI

/// A failure of `init(host:parameters:)` or `configComplete()`.
public struct ProviderError: Error, Sendable {
  /// Any status but `ok`.
  public let status: uffd_status
  /// One sentence: what failed, on what, why, what to do.
  public let message: String

  public init(_ status: uffd_status, _ message: String) {
    precondition(status != .ok, "an error is not OK")
    self.status = status
    self.message = message
  }

  /// The value of a parameter is not acceptable.
  public static func badValue(_ message: String) -> ProviderError {
    ProviderError(.outOfRange, message)
  }

  /// The words for an errno value, with its name: "No such file or directory (ENOENT)".
  public static func describe(errno value: Int32) -> String {
    let text = unsafe strerror(value).map { unsafe String(cString: $0) } ?? "error \(value)"
    guard let name = unsafe clinux_errno_name(value) else { return text }
    return unsafe "\(text) (\(String(cString: name)))"
  }
}

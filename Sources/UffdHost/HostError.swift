// SPDX-License-Identifier: Apache-2.0

/// Why the host could not do what it was asked, in one sentence for a person.
///
/// The sentence says what failed, on what, why, and what to do. It never holds a raw errno: the kernel's
/// refusals are named (`EPERM`) and explained.
public struct HostError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Who has to act. The command's exit code follows from it.
  public enum Kind: Sendable {
    /// The caller's arguments or the provider's configuration are not acceptable. Exit code 2.
    case usage
    /// The library is not a provider this host can load, or broke the contract while it loaded. Exit code 3.
    case refused
    /// The kernel, a permission, a huge-page pool or a limit stands in the way. Exit code 4.
    case system
    /// Serving failed: a page could not be had, the provider broke, the host is shut down. Exit code 1.
    case service
  }

  public let kind: Kind
  /// One sentence, without a trailing full stop.
  public let message: String

  public init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  public var description: String { message }
}

// SPDX-License-Identifier: Apache-2.0
import CUffdClient

/// Why remote memory cannot be had, in one sentence for a person.
public struct RemoteMemoryError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// The kernel stands in the way: a permission, a limit, a pool of huge pages.
    case system
    /// The server refuses, with its reason.
    case refused
    /// The other side does not speak the native protocol.
    case protocolError
    /// There is no answer yet.
    case timeout
    /// The server has closed the connection.
    case gone
    /// The arguments make no sense.
    case usage
  }

  public let kind: Kind
  /// One sentence, without a full stop.
  public let message: String
  public var description: String { message }

  init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  /// What a call of the C client has left behind.
  init(_ result: Int32, _ client: uffd_client) {
    kind =
      switch result {
      case UFFD_CLIENT_SYSTEM.rawValue: .system
      case UFFD_CLIENT_REFUSED.rawValue: .refused
      case UFFD_CLIENT_TIMEOUT.rawValue: .timeout
      case UFFD_CLIENT_GONE.rawValue: .gone
      case UFFD_CLIENT_USAGE.rawValue: .usage
      default: .protocolError
      }
    message = unsafe withUnsafeBytes(of: client.error) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}

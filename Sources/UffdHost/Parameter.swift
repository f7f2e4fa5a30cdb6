// SPDX-License-Identifier: Apache-2.0

/// One `key=value` pair of an instance's configuration.
public struct Parameter: Sendable, Equatable {
  public var key: String
  public var value: String
  public init(_ key: String, _ value: String) {
    self.key = key
    self.value = value
  }
}

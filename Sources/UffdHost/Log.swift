// SPDX-License-Identifier: Apache-2.0

/// How much a line of the log matters.
public enum LogLevel: String, Sendable {
  case error, warning, info, debug
}

/// Takes one line of text without a newline; may be called from any thread of the host, must not block for
/// long and must not touch memory that the host serves.
public typealias LogSink = @Sendable (LogLevel, String) -> Void

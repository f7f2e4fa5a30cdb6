// SPDX-License-Identifier: Apache-2.0
// What a server says while it runs: one line for each thing that happened, for people or for
// machines. Any thread.
import Glibc
import Synchronization
package import UffdHost
import UffdReport

/// Whom a line is about.
struct LogSubject: Sendable {
  var client: UInt64?
  var pid: Int32?
  var dialect: String?
}

package final class ServerLog: Sendable {
  package enum Format: String, Sendable, CaseIterable { case text, json }

  private let format: Format
  private let leastLevel: LogLevel
  private let write: @Sendable (String) -> Void
  private let refusals = Mutex(RateLimits(RateLimit(atOnce: 10, perSecond: 1)))
  /// Whoever restores many machines at once has his line for each.
  private let sessions = Mutex(RateLimits(RateLimit(atOnce: 200, perSecond: 2)))
  private let pages = Mutex(RateLimit(atOnce: 100, perSecond: 10))

  /// `write` takes a line without its end.
  package init(
    _ format: Format, level: LogLevel = .info, write: @escaping @Sendable (String) -> Void
  ) {
    self.format = format
    leastLevel = level
    self.write = write
  }

  func line(_ level: LogLevel, _ message: String, _ subject: LogSubject = LogSubject()) {
    guard level.weight <= leastLevel.weight else { return }
    switch format {
    case .text: write(Self.text(level, message, subject))
    case .json: write(Self.json(level, message, subject, now: Self.wallClock()))
    }
  }

  /// A line that a user who connects can cause as often as he likes.
  func limited(
    _ level: LogLevel, _ message: String, user: UInt32, _ subject: LogSubject
  ) {
    guard level.weight <= leastLevel.weight,
      let leftOut = refusals.withLock({ $0.admit(user, now: monotonicNanoseconds()) })
    else { return }
    line(level, message + Self.remark(leftOut, "lines about this user"), subject)
  }

  /// A line about a session: a user can begin and end as many as he likes, or have a client fork them. Those lines
  /// hide no refusals.
  func ofSession(_ level: LogLevel, _ message: String, user: UInt32, _ subject: LogSubject) {
    guard level.weight <= leastLevel.weight,
      let leftOut = sessions.withLock({ $0.admit(user, now: monotonicNanoseconds()) })
    else { return }
    line(level, message + Self.remark(leftOut, "lines about clients of this user"), subject)
  }

  /// For the host, which has a line for each page that cannot be had.
  package var sink: LogSink {
    { [self] level, message in
      guard level.weight <= leastLevel.weight,
        let leftOut = pages.withLock({ $0.admit(now: monotonicNanoseconds()) })
      else { return }
      line(level, message + Self.remark(leftOut, "lines"))
    }
  }

  private static func remark(_ leftOut: UInt64, _ what: String) -> String {
    leftOut == 0 ? "" : " (\(leftOut) \(what) were left out before this one)"
  }

  // MARK: The two forms

  static func text(_ level: LogLevel, _ message: String, _ subject: LogSubject) -> String {
    var about: [String] = []
    if let pid = subject.pid { about.append("pid \(pid)") }
    if let dialect = subject.dialect { about.append(dialect) }
    let details = about.joined(separator: ", ")
    let who: String
    if let client = subject.client {
      who = "client \(client)" + (details.isEmpty ? "" : " (\(details))") + ": "
    } else {
      who = details.isEmpty ? "" : details + ": "
    }
    return "uffdhost: \(level.rawValue): \(who)\(message)".printable
  }

  static func json(
    _ level: LogLevel, _ message: String, _ subject: LogSubject, now: timespec
  ) -> String {
    var line = "{"
    func field(_ name: String, _ value: (some JSONScalar)?) {
      guard let value else { return }
      line += line == "{" ? "" : ", "
      name.appendJSON(to: &line)
      line += ": "
      value.appendJSON(to: &line)
    }
    field("time", time(now))
    field("level", level.rawValue)
    field("message", message)
    field("client", subject.client)
    field("pid", subject.pid)
    field("dialect", subject.dialect)
    return line + "}"
  }

  private static func wallClock() -> timespec {
    var now = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &now)
    return now
  }

  /// RFC 3339, in UTC, to the millisecond.
  private static func time(_ now: timespec) -> String {
    var seconds = now.tv_sec
    var parts = unsafe tm()
    unsafe gmtime_r(&seconds, &parts)
    func two(_ number: Int32) -> String { Units.padLeft(String(number), 2, "0") }
    let date = unsafe "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
    let time = unsafe "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
    return "\(date)T\(time)." + Units.padLeft(String(now.tv_nsec / 1_000_000), 3, "0") + "Z"
  }
}

extension LogLevel {
  fileprivate var weight: Int {
    switch self {
    case .error: 0
    case .warning: 1
    case .info: 2
    case .debug: 3
    }
  }
}

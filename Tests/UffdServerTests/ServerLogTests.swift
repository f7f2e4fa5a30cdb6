// SPDX-License-Identifier: Apache-2.0
// Lines for people and for machines, and how many of them somebody else can cause.
import CLinux
import Glibc
import Synchronization
import TestSupport
import Testing
import UffdHost

@testable import UffdServer

@Suite struct ServerLogTests {
  private final class Lines: Sendable {
    let list = Mutex<[String]>([])
    func log(_ format: ServerLog.Format, _ level: LogLevel = .info) -> ServerLog {
      ServerLog(format, level: level) { line in self.list.withLock { $0.append(line) } }
    }
    var all: [String] { list.withLock { $0 } }
  }

  @Test func `a line for people says whom it is about`() {
    let lines = Lines()
    let log = lines.log(.text)
    log.line(.info, "begins")
    log.line(.warning, "is late", LogSubject(client: 3, pid: 77, dialect: "native"))
    log.line(.error, "is refused", LogSubject(pid: 77))
    log.line(.error, "two\nlines \u{1b}[1m", LogSubject(client: 4))
    #expect(
      lines.all == [
        "uffdhost: info: begins", "uffdhost: warning: client 3 (pid 77, native): is late",
        "uffdhost: error: pid 77: is refused",
        "uffdhost: error: client 4: two\\nlines \\u{1b}[1m",
      ])
  }

  @Test func `a line for machines is one JSON object`() throws {
    let moment = timespec(tv_sec: 1_700_000_000, tv_nsec: 7_000_000)
    let text = ServerLog.json(
      .warning, "a \"quote\"\nand more", LogSubject(client: 3, pid: 77, dialect: "native"),
      now: moment)
    #expect(!text.contains("\n"))
    let value = try JSONValue(parsing: text)
    #expect(value["time"].text == "2023-11-14T22:13:20.007Z")
    #expect(value["level"].text == "warning")
    #expect(value["message"].text == "a \"quote\"\nand more")
    #expect(value["client"].number == 3 && value["pid"].number == 77)
    #expect(value["dialect"].text == "native")
    let bare = try JSONValue(parsing: ServerLog.json(.info, "x", LogSubject(), now: moment))
    #expect(bare.keys == ["time", "level", "message"])
  }

  @Test func `only what matters enough is written`() {
    for (level, count) in [(LogLevel.error, 1), (.warning, 2), (.info, 3), (.debug, 4)] {
      let lines = Lines()
      let log = lines.log(.text, level)
      for each in [LogLevel.error, .warning, .info, .debug] { log.line(each, "x") }
      #expect(lines.all.count == count)
    }
  }

  @Test func `a user who floods hides nobody else`() {
    let lines = Lines()
    let log = lines.log(.text)
    for _ in 0..<1000 { log.limited(.warning, "flood", user: 1, LogSubject()) }
    log.limited(.warning, "other", user: 2, LogSubject())
    #expect((10...30).contains(lines.all.filter { $0.contains("flood") }.count))
    #expect(lines.all.contains("uffdhost: warning: other"))
    for _ in 0..<1000 { log.ofSession(.info, "session", user: 1, LogSubject(client: 1)) }
    log.ofSession(.info, "other session", user: 2, LogSubject())
    let sessions = lines.all.count { $0.contains("client 1: session") }
    #expect((200...300).contains(sessions))
    #expect(lines.all.contains("uffdhost: info: other session"))
    for _ in 0..<1000 { log.sink(.warning, "page") }
    #expect((100...150).contains(lines.all.filter { $0.contains("page") }.count))
  }

  @Test func `a limit lets some through at once, then so many a second, and counts the rest`() {
    let second: UInt64 = 1_000_000_000
    var limit = RateLimit(atOnce: 3, perSecond: 2)
    var now = 5 * second
    let admitted = (0..<5).map { _ in limit.admit(now: now) }
    #expect(admitted == [0, 0, 0, nil, nil])
    now += second / 2
    #expect(limit.admit(now: now) == 2)
    #expect(limit.admit(now: now) == nil)
    // A long silence gives back what there is at once, no more.
    now += 1000 * second
    #expect((0..<4).map { _ in limit.admit(now: now) } == [1, 0, 0, nil])
    // A clock that stands still or goes back gives nothing and breaks nothing.
    #expect(limit.admit(now: now - second) == nil)
  }

  @Test func `more users than are remembered cost no memory`() {
    var limits = RateLimits(RateLimit(atOnce: 1, perSecond: 1))
    for user in 0..<UInt32(100_000) { #expect(limits.admit(user, now: 1) == 0) }
  }
}

// SPDX-License-Identifier: Apache-2.0
// The state of a server as JSON and back, for people, and the conversation in which it is asked for.
import Foundation
import TestSupport
import Testing
import UffdHost

@testable import UffdServer

@Suite struct StatusReportTests {
  private var report: StatusReport {
    var report = StatusReport()
    report.pid = 4711
    report.provider = "shmem"
    report.phase = "draining"
    report.waiting = StatusReport.Waiting(
      sinceNanoseconds: 2_000_000_000, clients: 2, handshakes: 1, waitsForCommand: true,
      missingBytes: 1 << 20, estimateNanoseconds: 12_000_000_000,
      patienceNanoseconds: 30_000_000_000)
    report.isSocketPassed = true
    report.uptimeNanoseconds = 90_000_000_000
    (report.connections, report.handshakes) = (3, 1)
    (report.clientsServed, report.clientsDrained, report.clientsGone) = (7, 3, 2)
    report.refused = 5
    var session = StatusReport.Session()
    (session.id, session.pid, session.uid) = (6, 99, 1000)
    (session.dialect, session.phase) = ("firecracker", "serving")
    session.sinceNanoseconds = 5
    session.isConnected = true
    (session.bytes, session.residentBytes, session.missingBytes) = (1 << 20, 1 << 19, 1 << 18)
    (session.discardedBytes, session.poisonedBytes) = (1 << 18, 4096)
    (session.faultsMissing, session.faultsMinor, session.parked) = (1234, 5, 2)
    (session.longestWaitNanoseconds, session.held) = (1_500_000_000, 4)
    (session.errors, session.givenUp) = (1, 3)
    session.latency = StatusReport.Latency(p50: 9_000, p90: 12_000, p99: 40_000, maximum: 2_000_000)
    (session.installedAround, session.knownZeroBytes) = (12, 65536)
    session.fill = StatusReport.Fill(
      total: 1 << 20, filled: 1 << 18, present: 1 << 17, left: 4096, nanoseconds: 2_000_000_000)
    session.regionCount = 2
    session.regions = [
      StatusReport.Region(
        start: 0x7f00_0000_0000, bytes: 1 << 20, offset: 4096, pageSize: 4096,
        residentBytes: 1 << 19, missingBytes: 1 << 18, poisonedBytes: 4096, discardedBytes: 1 << 18)
    ]
    var child = StatusReport.Session()
    (child.id, child.parent, child.dialect, child.isTruncated) = (8, 6, "firecracker", true)
    report.sessions = [session, child]
    return report
  }

  @Test func `what is written can be read again`() throws {
    #expect(try StatusReport(parsing: report.json()) == report)
    #expect(try StatusReport(parsing: StatusReport().json()) == StatusReport())
  }

  @Test func `serving.md names every field`() throws {
    let page = try String(contentsOfFile: Checkout.root + "/docs/serving.md", encoding: .utf8)
    func check(_ value: TestSupport.JSONValue) {
      switch value {
      case .object(let members):
        for (key, member) in members {
          #expect(page.contains("`\(key)`"), "\(key)")
          check(member)
        }
      case .list(let elements): elements.forEach(check)
      default: break
      }
    }
    check(try TestSupport.JSONValue(parsing: report.json()))
  }

  @Test func `people see a line for the server, a table, and regions`() {
    let text = report.text
    let lines = text.split(separator: "\n").map(String.init)
    #expect(lines[0] == "server   pid 4711, provider 'shmem', draining, up 1 min 30 s")
    #expect(
      lines[1]
        == "ending   for 2.00 s; waiting for 2 clients, 1 MiB missing, about 12.00 s to go; given up in 30.00 s"
    )
    #expect(
      lines[2]
        == "clients  2 now; 7 served, 3 drained, 2 gone, 5 refused; 3 connections, 1 handshakes")
    #expect(lines[3].hasPrefix("id  pid  user  dialect"))
    let words = lines[4].split(separator: " ").map(String.init)
    #expect(words[5] == "failing")
    #expect(lines[4].contains("  2   1.50 s     4       4  "), "\(lines[4])")
    #expect(lines[5].contains("  fine  "))
    #expect(
      lines[4].contains("75.0 %") && lines[4].contains("1,239") && lines[4].contains("9.0 us"))
    #expect(
      text.contains(
        "client 6\n  background fill: 37.9 % of 1 MiB, 256 KiB filled, 128 KiB touched before, 4 KiB left, "
          + "128 KiB/s\n  12 granules were filled beside a fault\n  64 KiB were known to be zero\n"
          + "  0x7f0000000000  1 MiB at 4096, pages of 4 KiB: 512 KiB resident, 256 KiB missing, "
          + "256 KiB discarded, 4 KiB poisoned\n  and 1 other regions\n"))
    #expect(text.contains("client 8\n  forked by client 6\n"))
    #expect(lines.allSatisfy { $0.last != " " })
    #expect(StatusReport().text.split(separator: "\n").count == 2)
  }

  @Test func `who fails is told apart from who is slow`() {
    var session = StatusReport.Session()
    session.longestWaitNanoseconds = StatusReport.slowNanoseconds - 1
    #expect(session.health == .fine)
    session.longestWaitNanoseconds += 1
    #expect(session.health == .slow)
    for failure in [\StatusReport.Session.held, \.givenUp, \.poisonedBytes] {
      var session = session
      session[keyPath: failure] = 1
      #expect(session.health == .failing)
    }
  }

  @Test func `a server cannot steer the terminal`() {
    var report = report
    report.provider = "\u{1b}[2J\n"
    report.sessions[0].dialect = "\u{1b}]0;x\u{7}"
    #expect(report.text.unicodeScalars.allSatisfy { $0.value >= 0x20 || $0 == "\n" })
  }

  @Test(arguments: ["", "[]", "{}", "{\"server\": 1}", "{\"server\": {}", "nonsense"])
  func `what is no state of a server is not taken for one`(text: String) {
    #expect(throws: Refusal.self) { try StatusReport(parsing: text) }
  }

  /// The server's side of the conversation, as the dialect speaks it.
  private func answers(_ reply: ClientReply) throws -> [UInt8] {
    var dialect = Native()
    var inbox = Inbox()
    inbox.bytes = NativeStatusConversation().opening
    let greeting = dialect.greeting(NativeRecords.object, mostDescriptors: 64)
    #expect(try dialect.next(&inbox) == nil)
    return greeting + dialect.encode(reply, to: 2)
  }

  @Test(arguments: [1, 7, 100_000]) func `the answer is put together from pieces of any size`(
    piece: Int
  ) throws {
    let json = String(repeating: report.json(), count: 100)
    let bytes = try answers(.status(json))
    #expect(bytes.count > 2 * NativeWire.mostFrameBytes)
    var conversation = NativeStatusConversation()
    var sent: [UInt8] = []
    var result: String?
    for start in stride(from: 0, to: bytes.count, by: piece) {
      switch try conversation.take(Array(bytes[start..<min(bytes.count, start + piece)])) {
      case .wants(let more): sent += more
      case .has(let text): result = text
      }
    }
    #expect(result == json)
    // The question is one that the dialect understands.
    if piece < 100 {
      var dialect = Native()
      var inbox = Inbox()
      inbox.bytes = NativeStatusConversation().opening + sent
      let request = try dialect.next(&inbox)
      #expect(request?.id == 2)
      guard case .status = request?.action else { throw Lateness(what: "STATUS") }
    }
  }

  @Test func `a refusal and another protocol are told apart`() throws {
    var conversation = NativeStatusConversation()
    let refusal = try answers(.refused("you may not"))
    #expect(throws: Refusal("it refuses: you may not")) { try conversation.take(refusal) }
    var other = NativeStatusConversation()
    #expect(throws: Refusal("it does not speak the native dialect")) {
      try other.take(Array("HTTP/1.1 400".utf8))
    }
  }
}

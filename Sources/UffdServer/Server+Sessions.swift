// SPDX-License-Identifier: Apache-2.0
// What is asked for clients that are served, and what becomes of them.
import Glibc
import UffdHost
import UffdReport

extension Server {
  func removeRegion(
    _ connection: Connection, _ id: UInt64, _ session: Session, _ start: UInt64, _ length: UInt64
  ) {
    let (end, overflow) = start.addingReportingOverflow(length)
    guard !overflow else {
      return decline(connection, id, "removing a region", "the range ends beyond the address space")
    }
    guard connection.openAnswers < Self.mostOpenAnswers else {
      return decline(
        connection, id, "removing a region",
        "\(Self.mostOpenAnswers) answers are due already; wait for some")
    }
    connection.openAnswers += 1
    let (client, place) = (session.client.id, connection.id)
    session.client.remove(start: start, length: length) { [mailbox] error in
      mailbox.put(
        .removed(Removal(client: client, connection: place, request: id, range: start..<end), error)
      )
    }
  }

  func drain(_ connection: Connection, _ id: UInt64, _ session: Session) {
    let client = session.client.id
    guard !session.isDetached else {
      return decline(connection, id, "draining", "it is left alone since it asked for that")
    }
    guard connection.openAnswers < Self.mostOpenAnswers else {
      return decline(
        connection, id, "draining", "\(Self.mostOpenAnswers) answers are due already; wait for some"
      )
    }
    connection.openAnswers += 1
    sessions[client]?.drainRequests.append(id)
    // It may ask as often as it likes: it is one drain, and one line.
    guard session.drainRequests.isEmpty else { return }
    log.ofSession(
      .info, "draining, as it asked", user: session.client.identity.uid, session.subject)
    session.client.drain()
  }

  func detach(_ connection: Connection, _ id: UInt64, _ session: Session) {
    let client = session.client.id
    if session.isDetached { return answer(connection, .done(session: client), to: id) }
    session.client.detach()
    sessions[client]?.isDetached = true
    sessions[client]?.drainRequests = []
    ending.awaited.remove(client)
    log.ofSession(
      .info, "left alone, as it asked", user: session.client.identity.uid, session.subject)
    connection.openAnswers -= session.drainRequests.count
    for request in session.drainRequests {
      answer(connection, .refused("it was left alone before it was drained"), to: request)
    }
    answer(connection, .done(session: client), to: id)
  }

  private static let mostOpenAnswers = 1024

  func tellState(_ connection: Connection, _ id: UInt64) {
    guard isTrusted(connection) else {
      return decline(
        connection, id, "the state of the server",
        "user \(connection.peer.uid) may not see what other clients do")
    }
    if connection.client == nil { connection.isExcused = true }
    answer(connection, .status(statusReport().json()), to: id)
  }

  // MARK: What came of it

  func received(_ notice: Notice) {
    switch notice {
    case .prepared(let connection, let handOver, let result):
      prepared(connection, handOver, result)
    case .ended(let client, let end): ended(client, end)
    case .removed(let removal, let error):
      if error == nil {
        sessions[removal.client]?.regions.removeAll {
          removal.range.lowerBound <= $0.lowerBound && $0.upperBound <= removal.range.upperBound
        }
      }
      noteChange()
      guard let connection = connections[removal.connection] else { return }
      connection.openAnswers -= 1
      if let error {
        decline(connection, removal.request, "removing a region", error.message)
      } else {
        answer(connection, .done(session: removal.client), to: removal.request)
      }
      settle(connection)
    }
  }

  private func ended(_ client: any ServedClient, _ end: Client.End) {
    noteChange()
    ending.awaited.remove(client.id)
    // A forked child has no session, for it has no connection.
    let session = sessions.removeValue(forKey: client.id)
    func say(_ level: LogLevel, _ message: String) {
      let subject = LogSubject(
        client: client.id, pid: client.parent == nil ? client.identity.pid : nil,
        dialect: client.identity.dialect)
      // Lost content is always said. And of those that are handed over there come no more when the server ends:
      // each has its line.
      if level == .error || session != nil && phase != .serving {
        return log.line(level, message, subject)
      }
      log.ofSession(level, message, user: client.identity.uid, subject)
    }
    var reply = ClientReply.done(session: client.id)
    if case .drained(let poisoned) = end {
      counts.drained += 1
      counts.poisonedBytes += poisoned
      if poisoned == 0 {
        say(.info, "drained: every page is there, and it is let go")
      } else {
        say(.error, "let go: \(Units.bytes(poisoned)) could not be had and are poisoned")
      }
    } else {
      counts.gone += 1
      say(.info, "its memory is gone")
      reply = .refused("the memory is gone")
    }
    guard let session, let id = session.connection, let connection = connections[id] else { return }
    connection.openAnswers -= session.drainRequests.count
    for request in session.drainRequests { answer(connection, reply, to: request) }
    if connection.clients.remove(client.id) != nil {
      // It may hand others over. How long it may go on when the server ends is decided there.
      guard connection.clients.isEmpty, phase == .serving else { return }
    }
    // It may still be asked how it was, for a while.
    connection.isExcused = true
    connection.deadline = monotonicNanoseconds() + options.handshakeNanoseconds
    settle(connection)
  }
}

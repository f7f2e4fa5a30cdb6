// SPDX-License-Identifier: Apache-2.0
// What clients ask for, and what they are answered.
import CLinux
import Glibc
import UffdHost
import UffdReport

extension Server {
  func perform(_ request: ClientRequest, _ connection: Connection) {
    let id = request.id
    switch request.action {
    case .attach(let uffd, let regions, let backings):
      attach(connection, id, uffd, regions, backings)
    case .status: tellState(connection, id)
    case .progress:
      guard let client = connection.client else { return declineEarly(connection, id) }
      answer(connection, .progress(client.progress), to: id)
    case .addRegions(let regions, let backings):
      guard let session = session(connection, id) else { return }
      addRegions(connection, id, session, regions, backings)
    case .removeRegion(let start, let length):
      guard let session = session(connection, id) else { return }
      removeRegion(connection, id, session, start, length)
    case .drain:
      guard let session = session(connection, id) else { return }
      drain(connection, id, session)
    case .detach:
      guard let session = session(connection, id) else { return }
      detach(connection, id, session)
    }
  }

  /// The session that a request is about; nil: there is none, and that was answered.
  private func session(_ connection: Connection, _ id: UInt64) -> Session? {
    guard let client = connection.client else {
      declineEarly(connection, id)
      return nil
    }
    if let session = sessions[client.id] { return session }
    decline(connection, id, "a request", "the session has ended")
    return nil
  }

  private func declineEarly(_ connection: Connection, _ id: UInt64) {
    decline(connection, id, "a request", "it comes before any userfaultfd was handed over")
  }

  func answer(_ connection: Connection, _ reply: ClientReply, to id: UInt64) {
    if let dialect = connection.dialect { connection.send(dialect.encode(reply, to: id)) }
  }

  /// A request fails; others may follow.
  func decline(
    _ connection: Connection, _ id: UInt64, _ what: String, _ reason: String
  ) {
    log.limited(
      .warning, "\(what) is refused: \(reason)", user: connection.peer.uid, connection.subject)
    answer(connection, .refused(reason), to: id)
  }

  /// Nothing more is taken from the connection. Whoever has handed nothing over yet is not served.
  func refuse(
    _ connection: Connection, _ reason: String, uffds: [Descriptor]? = nil, to id: UInt64 = 0
  ) {
    if connection.isClosing { return }
    let answer = connection.dialect?.encode(.refused(reason), to: id) ?? []
    var consequence = ""
    if connection.client != nil {
      consequence = "; the connection is closed, the memory is served on"
    } else {
      counts.refused += 1
      if answer.isEmpty { consequence = abandon(uffds ?? connection.inbox.descriptors, connection) }
    }
    log.limited(
      .warning, "refused: " + reason + consequence, user: connection.peer.uid, connection.subject)
    connection.inbox = Inbox()
    connection.send(answer)
    connection.isClosing = true
    // Long enough to be read, not for ever.
    if connection.deadline == nil {
      connection.deadline = monotonicNanoseconds() + options.handshakeNanoseconds
    }
    settle(connection)
  }

  /// What happens to a client that will not learn that it is refused, in words.
  private func abandon(_ descriptors: [Descriptor], _ connection: Connection) -> String {
    guard refusedUffds.hold(descriptors, of: connection, poller) else { return "" }
    if options.killsRefused, let pidfd = connection.peer.pidfd {
      let result = clinux_pidfd_kill(pidfd.fd, SIGKILL)
      return result == 0
        ? "; it is killed" : "; it cannot be killed (\(Errno(-result).name)), and will stall"
    }
    return "; its missing pages will stall, and not read zero, until it ends"
  }

  // MARK: Handing over

  private func attach(
    _ connection: Connection, _ id: UInt64, _ uffd: Descriptor, _ regions: [ClientRegion],
    _ backings: [Descriptor]
  ) {
    guard connection.client == nil else {
      return decline(
        connection, id, "a second userfaultfd",
        "one connection hands one userfaultfd over; open another")
    }
    do throws(Refusal) {
      let session = try take(connection, uffd, regions, backings)
      sessions[session.client.id] = session
      connection.client = session.client
      connection.deadline = nil
      counts.clients += 1
      let bytes = regions.reduce(0) { $0 + $1.length }
      log.line(
        .info,
        "serving \(Units.bytes(bytes)) in \(regions.count) regions of user \(connection.peer.uid)",
        session.subject)
      noteChange()
      answer(connection, .done(session: session.client.id), to: id)
      if phase != .serving { endAll() }
    } catch {
      // Who can be told may try again.
      guard let dialect = connection.dialect, !dialect.encode(.refused(""), to: id).isEmpty else {
        return refuse(connection, error.reason, uffds: [uffd], to: id)
      }
      counts.refused += 1
      decline(connection, id, "the hand-off", error.reason)
    }
  }

  private func take(
    _ connection: Connection, _ uffd: Descriptor, _ regions: [ClientRegion],
    _ backings: [Descriptor]
  ) throws(Refusal) -> Session {
    let received = try ReceivedUffd(uffd)
    if let other = sessions.values.first(where: {
      $0.uffd == received.identity && !$0.isDetached
    }) {
      throw Refusal("the userfaultfd is served already, as client \(other.client.id)")
    }
    let count = service.clients.count
    guard count < options.mostClients else {
      throw Refusal("\(count) clients are served, and no more may be; raise '--max-clients'")
    }
    guard !regions.isEmpty else { throw Refusal("there is no region in the hand-off") }
    try checkCount(regions.count)
    try Self.checkExtent(regions)
    let identity = ClientIdentity(
      pid: connection.peer.pid, uid: connection.peer.uid, gid: connection.peer.gid,
      pidfd: connection.peer.pidfd, dialect: connection.subject.dialect ?? "")
    if let untold = received.untold {
      log.line(.debug, "its userfaultfd does not tell of \(untold)", connection.subject)
    }
    do {
      let client = try service.attach(
        identity, uffd: uffd, regions: regions, backings: backings,
        onEnd: { [mailbox] client, end in mailbox.put(.ended(client, end)) })
      return Session(
        client: client, uffd: received.identity, since: monotonicNanoseconds(),
        connection: connection.id, regions: regions.map { $0.start..<($0.start + $0.length) })
    } catch {
      throw Refusal(error.message)
    }
  }

  func checkCount(_ count: Int) throws(Refusal) {
    guard count <= options.mostRegions else {
      throw Refusal("\(count) regions are more than \(options.mostRegions); raise '--max-regions'")
    }
  }

  /// The rest about regions is the core's business. This much is needed to add them up.
  static func checkExtent(_ regions: [ClientRegion]) throws(Refusal) {
    for region in regions where region.start.addingReportingOverflow(region.length).overflow {
      throw Refusal("a region of \(region.length) bytes ends beyond the address space")
    }
  }
}

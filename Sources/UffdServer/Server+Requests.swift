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
    case .attach(let uffd, let regions, let backings, let pid):
      attach(connection, id, uffd, regions, backings, of: pid)
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
    _ connection: Connection, _ id: UInt64, _ what: String, _ reason: String,
    _ subject: LogSubject? = nil
  ) {
    log.limited(
      .warning, "\(what) is refused: \(reason)", user: connection.peer.uid,
      subject ?? connection.subject)
    answer(connection, .refused(reason), to: id)
  }

  /// Nothing more is taken from the connection. Whoever has handed nothing over yet is not served.
  func refuse(
    _ connection: Connection, _ reason: String, uffds: [Descriptor]? = nil,
    of process: ClientProcess? = nil, to id: UInt64 = 0
  ) {
    let handed = connection.handOver?.newcomer
    if connection.isClosing { return }
    let answer = connection.dialect?.encode(.refused(reason), to: id) ?? []
    var consequence = ""
    if connection.client == nil {
      count(refusalOf: connection)
      if answer.isEmpty {
        let uffds = uffds ?? handed.map { [$0.uffd] } ?? connection.inbox.descriptors
        consequence = abandon(uffds, connection, of: process ?? handed?.process)
      }
    }
    if connection.isServed {
      consequence += "; the connection is closed, the memory is served on"
    }
    connection.handOver = nil
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

  /// Once for each connection, however often it tries.
  func count(refusalOf connection: Connection) {
    if !connection.isRefused { counts.refused += 1 }
    connection.isRefused = true
  }

  /// What happens to a client that will not learn that it is refused, in words. `process` is whose memory it is;
  /// nil: of the one that connected, or, in a dialect of several, nobody knows of which.
  func abandon(
    _ descriptors: [Descriptor], _ connection: Connection, of process: ClientProcess?
  ) -> String {
    let uffds = descriptors.filter { ReceivedUffd.isUserfaultfd($0.fd) }
    if uffds.isEmpty { return "" }
    // Of whoever connected it is kept as well as may be.
    let objection = refusedUffds.hold(uffds, of: process ?? connection.peer, poller)
    var fate = ""
    if options.killsRefused {
      // Kept or not: it must not go on with memory that nobody serves.
      let victim = process ?? (connection.handsOverSeveral ? nil : connection.peer)
      let result =
        victim.map { process in
          process.pidfd.map { clinux_pidfd_kill($0.fd, SIGKILL) } ?? -ENOSYS
        } ?? -ESRCH
      if result == 0 { return "; it is killed" }
      fate = "; it cannot be killed (\(Errno(-result).name))"
    }
    if let objection {
      return fate
        + "; its userfaultfd is closed, for \(objection): what is missing stalls while the process has the "
        + "userfaultfd itself, and reads zero when it has not"
    }
    return fate + "; its missing pages will stall, and not read zero, until it ends"
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

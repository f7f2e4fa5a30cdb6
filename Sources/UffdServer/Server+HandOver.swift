// SPDX-License-Identifier: Apache-2.0
// Handing over: what can be known at once is checked at once, the provider is asked by another thread
// (HandOver.swift), and then the session begins, or goes on with more regions.
import UffdHost
import UffdReport

extension Server {
  func attach(
    _ connection: Connection, _ id: UInt64, _ uffd: Descriptor, _ regions: [ClientRegion],
    _ backings: [Descriptor], of pid: Int32?
  ) {
    guard connection.client == nil else {
      return decline(
        connection, id, "a second userfaultfd",
        "one connection hands one userfaultfd over; open another")
    }
    var process: ClientProcess?
    do throws(Refusal) {
      let owner = try owner(pid, connection)
      process = owner
      let received = try check(connection, uffd, regions)
      if let untold = received.untold {
        log.ofSession(
          .debug, "its userfaultfd does not tell of \(untold)", user: owner.uid,
          subject(connection, owner))
      }
      try prepare(connection, id, .client(received, uffd, owner), regions) {
        [service] () throws(HostError) in
        .client(try service.prepare(regions, backings: backings))
      }
    } catch {
      refuseHandOver(connection, id, error.reason, uffd, of: process)
    }
  }

  /// Whose memory it is.
  private func owner(_ pid: Int32?, _ connection: Connection) throws(Refusal) -> ClientProcess {
    let peer = connection.peer
    guard let pid, pid != peer.pid else { return peer }
    return try ClientProcess(named: pid, by: peer, isTrusted: isTrusted(connection))
  }

  /// Of a line about one of several that a connection hands over, and of any other.
  private func subject(_ connection: Connection, _ process: ClientProcess?) -> LogSubject {
    var subject = connection.subject
    if let process { subject.pid = process.pid }
    return subject
  }

  func addRegions(
    _ connection: Connection, _ id: UInt64, _ session: Session, _ regions: [ClientRegion],
    _ backings: [Descriptor]
  ) {
    do throws(Refusal) {
      try checkCount(session.regions.count + regions.count)
      try Self.checkExtent(regions)
      let client = session.client
      try prepare(connection, id, .regions(of: client), regions) { () throws(HostError) in
        .regions(try client.prepare(regions, backings: backings))
      }
    } catch {
      decline(connection, id, Self.addingRegions, error.reason)
    }
  }

  private static let addingRegions = "adding regions"

  private func check(
    _ connection: Connection, _ uffd: Descriptor, _ regions: [ClientRegion]
  ) throws(Refusal) -> ReceivedUffd {
    guard !connection.isLate else {
      throw Refusal("this server is ending, and takes no new clients")
    }
    let received = try ReceivedUffd(uffd)
    if let other = sessions.values.first(where: {
      $0.uffd == received.identity && !$0.isDetached
    }) {
      throw Refusal("the userfaultfd is served already, as client \(other.client.id)")
    }
    let coming = connections.values.compactMap { $0.handOver?.newcomer }
    if coming.contains(where: { $0.received.identity == received.identity }) {
      throw Refusal("the userfaultfd is being handed over already, on another connection")
    }
    let count = service.clients.count + coming.count
    guard count < options.mostClients else {
      throw Refusal("\(count) clients are served, and no more may be; raise '--max-clients'")
    }
    guard !regions.isEmpty else { throw Refusal("there is no region in the hand-off") }
    try checkCount(regions.count)
    try Self.checkExtent(regions)
    return received
  }

  /// Has the provider asked; nothing else of this connection is read before it has answered, or its time is
  /// over.
  private func prepare(
    _ connection: Connection, _ id: UInt64, _ kind: HandOver.Kind, _ regions: [ClientRegion],
    _ body: @escaping @Sendable () throws(HostError) -> Prepared
  ) throws(Refusal) {
    let (place, number) = (connection.id, nextHandOver)
    nextHandOver += 1
    try handOverThreads.start { [mailbox] in
      let result: Result<Prepared, HostError>
      do throws(HostError) { result = .success(try body()) } catch { result = .failure(error) }
      mailbox.put(.prepared(connection: place, handOver: number, result))
    }
    connection.handOver = HandOver(
      number: number, request: id, kind: kind, regions: regions,
      deadline: connection.deadline ?? monotonicNanoseconds() + options.handshakeNanoseconds)
    // A client that has closed its end would be reported again and again.
    poller.remove(connection.socket.fd)
  }

  func prepared(_ place: UInt64, _ number: UInt64, _ result: Result<Prepared, HostError>) {
    // It may have been given up meanwhile.
    guard let connection = connections[place], let handOver = connection.handOver,
      handOver.number == number
    else { return }
    conclude(connection, handOver)
    do throws(HostError) {
      switch (handOver.kind, try result.get()) {
      case (.client(let received, let uffd, let process), .client(let adopt)):
        try begin(connection, handOver, received, uffd, process, adopt)
      case (.regions(let client), .regions(let add)):
        try add()
        sessions[client.id]?.regions += handOver.regions.map { $0.start..<($0.start + $0.length) }
        noteChange()
        answer(connection, .done(session: client.id), to: handOver.request)
      default: preconditionFailure("a hand-over has become another one")
      }
    } catch {
      if let newcomer = handOver.newcomer {
        refuseHandOver(
          connection, handOver.request, error.message, newcomer.uffd, of: newcomer.process)
      } else {
        decline(connection, handOver.request, Self.addingRegions, error.message)
      }
    }
    settle(connection)
  }

  private func begin(
    _ connection: Connection, _ handOver: HandOver, _ received: ReceivedUffd, _ uffd: Descriptor,
    _ process: ClientProcess, _ adopt: Adoption
  ) throws(HostError) {
    let identity = ClientIdentity(
      pid: process.pid, uid: process.uid, gid: process.gid, pidfd: process.pidfd,
      dialect: connection.subject.dialect ?? "")
    let client = try adopt(identity, uffd) { [mailbox] client, end in
      mailbox.put(.ended(client, end))
    }
    let regions = handOver.regions
    let session = Session(
      client: client, uffd: received.identity, since: monotonicNanoseconds(),
      connection: connection.id, regions: regions.map { $0.start..<($0.start + $0.length) })
    sessions[client.id] = session
    if connection.handsOverSeveral {
      connection.clients.insert(client.id)
      connection.isExcused = true
    } else {
      connection.client = client
    }
    // Of several another one may be on its way, for which the end waits a moment.
    if !connection.handsOverSeveral || phase == .serving { connection.deadline = nil }
    counts.clients += 1
    log.ofSession(
      .info,
      "serving \(Units.bytes(regions.reduce(0) { $0 + $1.length })) in \(regions.count) regions of user "
        + "\(process.uid)", user: process.uid, session.subject)
    noteChange()
    answer(connection, .done(session: client.id), to: handOver.request)
    if phase != .serving { endAll() }
  }

  /// The connection is read again. What waits in its inbox is looked at in this turn.
  private func conclude(_ connection: Connection, _ handOver: HandOver) {
    connection.handOver = nil
    waiting.append(connection.id)
    do { try poller.add(connection.socket.fd, .connection(connection.id)) } catch {
      log.limited(
        .error, "the connection cannot be watched any more (\(error.name))",
        user: connection.peer.uid, connection.subject)
      connection.isClosing = true
    }
  }

  /// The provider has not answered in time. What it says later is of no use.
  func giveUp(_ handOver: HandOver, _ connection: Connection) {
    let reason =
      "the provider '\(service.provider)' has not said in time whether it serves this memory"
    if let newcomer = handOver.newcomer {
      guard connection.handsOverSeveral else {
        refuse(connection, reason, to: handOver.request)
        return close(connection)
      }
      conclude(connection, handOver)
      refuseHandOver(connection, handOver.request, reason, newcomer.uffd, of: newcomer.process)
      settle(connection)
    } else {
      conclude(connection, handOver)
      decline(connection, handOver.request, Self.addingRegions, reason)
      settle(connection)
    }
  }

  /// Who can be told may try again, and of several the others are served.
  private func refuseHandOver(
    _ connection: Connection, _ id: UInt64, _ reason: String, _ uffd: Descriptor,
    of process: ClientProcess?
  ) {
    let isTold = connection.dialect?.encode(.refused(""), to: id).isEmpty == false
    guard isTold || connection.handsOverSeveral else {
      return refuse(connection, reason, uffds: [uffd], of: process, to: id)
    }
    count(refusalOf: connection)
    // The others are not to be late because of this one.
    if connection.handsOverSeveral, connection.deadline != nil, phase == .serving {
      connection.deadline = monotonicNanoseconds() + options.handshakeNanoseconds
    }
    let consequence = isTold ? "" : abandon([uffd], connection, of: process)
    decline(connection, id, "the hand-off", reason + consequence, subject(connection, process))
  }
}

// SPDX-License-Identifier: Apache-2.0
// Handing over: what can be known at once is checked at once, the provider is asked by another thread
// (HandOver.swift), and then the session begins, or goes on with more regions.
import UffdHost
import UffdReport

extension Server {
  func attach(
    _ connection: Connection, _ id: UInt64, _ uffd: Descriptor, _ regions: [ClientRegion],
    _ backings: [Descriptor]
  ) {
    guard connection.client == nil else {
      return decline(
        connection, id, "a second userfaultfd",
        "one connection hands one userfaultfd over; open another")
    }
    do throws(Refusal) {
      let received = try check(connection, uffd, regions)
      if let untold = received.untold {
        log.line(.debug, "its userfaultfd does not tell of \(untold)", connection.subject)
      }
      try prepare(connection, id, .client(received, uffd), regions) {
        [service] () throws(HostError) in
        .client(try service.prepare(regions, backings: backings))
      }
    } catch {
      refuseHandOver(connection, id, error.reason, uffd)
    }
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
    let coming = connections.values.compactMap { $0.handOver?.uffd }
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
      case (.client(let received, let uffd), .client(let adopt)):
        try begin(connection, handOver, received, uffd, adopt)
      case (.regions(let client), .regions(let add)):
        try add()
        sessions[client.id]?.regions += handOver.regions.map { $0.start..<($0.start + $0.length) }
        noteChange()
        answer(connection, .done(session: client.id), to: handOver.request)
      default: preconditionFailure("a hand-over has become another one")
      }
    } catch {
      if let uffd = handOver.uffd {
        refuseHandOver(connection, handOver.request, error.message, uffd.descriptor)
      } else {
        decline(connection, handOver.request, Self.addingRegions, error.message)
      }
    }
    settle(connection)
  }

  private func begin(
    _ connection: Connection, _ handOver: HandOver, _ received: ReceivedUffd, _ uffd: Descriptor,
    _ adopt: Adoption
  ) throws(HostError) {
    let peer = connection.peer
    let identity = ClientIdentity(
      pid: peer.pid, uid: peer.uid, gid: peer.gid, pidfd: peer.pidfd,
      dialect: connection.subject.dialect ?? "")
    let client = try adopt(identity, uffd) { [mailbox] client, end in
      mailbox.put(.ended(client, end))
    }
    let regions = handOver.regions
    let session = Session(
      client: client, uffd: received.identity, since: monotonicNanoseconds(),
      connection: connection.id, regions: regions.map { $0.start..<($0.start + $0.length) })
    sessions[client.id] = session
    connection.client = client
    connection.deadline = nil
    counts.clients += 1
    log.line(
      .info,
      "serving \(Units.bytes(regions.reduce(0) { $0 + $1.length })) in \(regions.count) regions of user "
        + "\(peer.uid)",
      session.subject)
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
    if handOver.uffd != nil {
      refuse(connection, reason, to: handOver.request)
      close(connection)
    } else {
      conclude(connection, handOver)
      decline(connection, handOver.request, Self.addingRegions, reason)
      settle(connection)
    }
  }

  /// Who can be told may try again.
  private func refuseHandOver(
    _ connection: Connection, _ id: UInt64, _ reason: String, _ uffd: Descriptor
  ) {
    guard let dialect = connection.dialect, !dialect.encode(.refused(""), to: id).isEmpty else {
      return refuse(connection, reason, uffds: [uffd], to: id)
    }
    count(refusalOf: connection)
    decline(connection, id, "the hand-off", reason)
  }
}

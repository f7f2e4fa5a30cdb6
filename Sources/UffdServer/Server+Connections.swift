// SPDX-License-Identifier: Apache-2.0
// Connections from accept to close: who may connect, how long a handshake may take, and whose turn
// it is.
import Glibc
import UffdHost
import UffdReport

extension Server {
  /// Bytes of a connection that are read in one turn: this many pieces.
  private static let mostPieces = 4
  /// Requests of a connection that are answered in one turn.
  private static let mostRequests = 8

  // MARK: In

  /// `isLate`: it comes while the server ends.
  func admit(_ socket: UnixSocket, isLate: Bool = false) {
    counts.connections += 1
    let peer: ClientProcess
    do { peer = try ClientProcess(connectedBy: socket) } catch {
      // Nobody knows who it is, so nobody knows whether he may.
      counts.refused += 1
      return log.limited(
        .warning, "refused: the kernel does not say who connected (\(error.name))", user: .max,
        LogSubject())
    }
    guard isAllowed(peer.uid) else {
      counts.refused += 1
      return log.limited(
        .warning,
        "refused: user \(peer.uid) may not connect; '--allow-uid \(peer.uid)' lets him in",
        user: peer.uid, LogSubject(pid: peer.pid))
    }
    makeRoom()
    let connection = Connection(
      nextConnection, socket, peer,
      deadline: monotonicNanoseconds() + options.handshakeNanoseconds, isLate: isLate)
    nextConnection += 1
    do { try poller.add(socket.fd, .connection(connection.id)) } catch {
      counts.refused += 1
      return log.limited(
        .error, "refused: the connection cannot be watched (\(error.name))", user: peer.uid,
        connection.subject)
    }
    connections[connection.id] = connection
  }

  private func isAllowed(_ uid: UInt32) -> Bool {
    uid == 0 || uid == geteuid() || options.allowedUsers.contains { $0.contains(uid) }
  }

  /// Whoever may see what others do here.
  func isTrusted(_ connection: Connection) -> Bool {
    connection.peer.uid == 0 || connection.peer.uid == geteuid()
  }

  /// Where too many handshakes are open, the process that has most of them loses its oldest.
  private func makeRoom() {
    let open = connections.values.filter { $0.deadline != nil }
    guard open.count >= options.mostHandshakes else { return }
    var perProcess: [Int32: Int] = [:]
    for connection in open { perProcess[connection.peer.pid, default: 0] += 1 }
    let most = perProcess.values.max() ?? 0
    let oldest = open.filter { perProcess[$0.peer.pid] == most }.min { $0.id < $1.id }
    guard let oldest else { return }
    refuse(
      oldest,
      "\(options.mostHandshakes) handshakes are open at once, \(most) of this process; "
        + "this was its oldest")
    // Its answer does not wait for a client that does not read.
    close(oldest)
  }

  func expireHandshakes(_ now: UInt64) {
    for connection in connections.values {
      if let handOver = connection.handOver {
        if now >= handOver.deadline { giveUp(handOver, connection) }
        continue
      }
      guard let deadline = connection.deadline, now >= deadline else { continue }
      if connection.isClosing || connection.mayEnd {
        close(connection)
      } else {
        let time = Units.duration(nanoseconds: now - connection.began)
        refuse(
          connection,
          "\(connection.arrivedBytes) bytes came in \(time) and are no whole handshake")
        close(connection)
      }
    }
  }

  // MARK: Turns

  func serve(_ connection: Connection, _ ready: Ready) {
    if connection.wantsToWrite, !connection.flush() { return close(connection) }
    // What waits in its inbox may be memory that is to be held.
    if ready.isHungUp, !connection.wantsToRead, connection.outbox.isEmpty,
      !waiting.contains(connection.id)
    {
      return close(connection)
    }
    if ready.isReadable, connection.wantsToRead {
      for _ in 0..<Self.mostPieces {
        let hasArrived: Bool
        do { hasArrived = try connection.receive(mostDescriptors: mostDescriptors) } catch {
          refuse(connection, error.reason)
          break
        }
        if !hasArrived { break }
        advance(connection)
        if !connection.wantsToRead { break }
      }
    }
    settle(connection)
  }

  /// Goes on with connections that had more requests than one turn answers.
  func serveWaiting() {
    let turn = waiting
    waiting.removeAll()
    for id in turn {
      guard let connection = connections[id] else { continue }
      advance(connection)
      settle(connection)
    }
  }

  /// Answers what has come whole.
  private func advance(_ connection: Connection) {
    guard !connection.isClosing, connection.handOver == nil, recognise(connection) else { return }
    for _ in 0..<Self.mostRequests {
      if connection.isFull {
        connection.isHeldUp = true
        return
      }
      // The dialect may have taken them when it finds out that it wants none of it.
      let uffds = connection.client == nil ? connection.inbox.descriptors : []
      let request: ClientRequest?
      do { request = try connection.dialect?.next(&connection.inbox) } catch {
        return refuse(connection, error.reason, uffds: uffds)
      }
      guard let request else { return judgeRest(connection) }
      perform(request, connection)
      if connection.isClosing || connection.handOver != nil { return }
    }
    if !waiting.contains(connection.id) { waiting.append(connection.id) }
  }

  /// A dialect is known after so many bytes: white space in front of it is looked at again and again.
  private static let mostUnknownBytes = 4096

  /// Finds the dialect. False: not yet, or none.
  private func recognise(_ connection: Connection) -> Bool {
    if connection.dialect != nil { return true }
    let bytes = connection.inbox.bytes
    // Whoever only looks whether somebody listens sends nothing.
    if bytes.isEmpty { return false }
    var isOpen = false
    for dialect in dialects {
      switch dialect.recognise(bytes) {
      case .yes:
        var recognised: any Dialect = dialect.init()
        connection.send(recognised.greeting(service.object, mostDescriptors: mostDescriptors))
        connection.dialect = recognised
        return true
      case .needsMore: isOpen = bytes.count <= Self.mostUnknownBytes || isOpen
      case .no: break
      }
    }
    if !isOpen || connection.inbox.isClosed {
      let names = dialects.map { $0.name }.joined(separator: ", ")
      refuse(
        connection,
        "the first \(bytes.count) bytes are of no dialect that is spoken here (\(names))")
    }
    return false
  }

  /// What is in the inbox is no whole request. May it wait?
  private func judgeRest(_ connection: Connection) {
    guard let dialect = connection.dialect else { return }
    let most = type(of: dialect).mostBytes
    if connection.inbox.bytes.count > most {
      refuse(
        connection,
        "\(connection.inbox.bytes.count) bytes came without a whole request in them; at most \(most) may"
      )
    } else if connection.inbox.isClosed, connection.client == nil, !connection.mayEnd {
      refuse(
        connection,
        "the connection ended after \(connection.arrivedBytes) bytes and \(connection.inbox.descriptors.count) "
          + "descriptors that are no whole handshake")
    }
  }

  // MARK: Out

  /// Writes what is there, and closes the connection or waits for what it is waiting for.
  func settle(_ connection: Connection) {
    guard connections[connection.id] === connection else { return }
    guard connection.flush() else { return close(connection) }
    if connection.isHeldUp, !connection.isFull {
      connection.isHeldUp = false
      waiting.append(connection.id)
    }
    if connection.isOver, !waiting.contains(connection.id) { return close(connection) }
    poller.change(
      connection.socket.fd, .connection(connection.id), reads: connection.wantsToRead,
      writes: connection.wantsToWrite)
  }

  /// The client's session goes on: the end of a connection says nothing about it.
  func close(_ connection: Connection) {
    guard connections.removeValue(forKey: connection.id) != nil else { return }
    poller.remove(connection.socket.fd)
    if let client = connection.client { sessions[client.id]?.connection = nil }
    for client in connection.clients { sessions[client]?.connection = nil }
  }
}

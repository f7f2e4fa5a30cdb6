// SPDX-License-Identifier: Apache-2.0
// One connection: what came and was not understood yet, what is to be sent, and whose it is. The
// server's thread.
import UffdHost

final class Connection {
  /// Of the server, never reused.
  let id: UInt64
  let began = monotonicNanoseconds()
  let socket: UnixSocket
  let peer: ClientProcess
  var inbox = Inbox()
  /// Bytes that have come, taken or not.
  private(set) var arrivedBytes: UInt64 = 0
  /// Nil until the first bytes were recognised.
  var dialect: (any Dialect)?
  /// Answers that did not fit into the socket yet.
  private(set) var outbox: [UInt8] = []
  /// The client that was handed over here. Its session does not end with the connection, nor the
  /// connection with it. Nil in dialects of several.
  var client: (any ServedClient)?
  /// In dialects of several: those that were handed over here and have not ended.
  var clients: Set<UInt64> = []
  /// When it is closed: it must have handed something over by then. Nil: it has.
  var deadline: UInt64?
  /// What it hands over, while the provider is asked about it. Nothing is read meanwhile.
  var handOver: HandOver?
  /// Something of it was refused, which was counted and said.
  var isRefused = false
  /// It came while the server ended: it may ask, and hands nothing over.
  let isLate: Bool
  /// It need not hand anything over: it has asked for the server's state, its session has ended, or it has
  /// handed over one of several.
  var isExcused = false
  /// Answers that are still to come: of drains, and of regions that are being removed.
  var openAnswers = 0
  /// Whole requests wait in the inbox until the client has read its answers.
  var isHeldUp = false
  /// Nothing more is read; it is closed when the outbox is empty.
  var isClosing = false

  /// More than this is not answered at once: a client that does not read gets no more answers.
  private static let fullOutbox = 1 << 16

  init(_ id: UInt64, _ socket: UnixSocket, _ peer: ClientProcess, deadline: UInt64, isLate: Bool) {
    self.id = id
    self.socket = socket
    self.peer = peer
    self.deadline = deadline
    self.isLate = isLate
  }

  var handsOverSeveral: Bool { dialect.map { type(of: $0).handsOverSeveral } ?? false }
  var isServed: Bool { client != nil || !clients.isEmpty }
  /// It is closed without a word, when its time is over or its end was closed. Of several userfaultfds one may
  /// be here whose request is not.
  var mayEnd: Bool { (isExcused || isRefused) && (!handsOverSeveral || inbox.isEmpty) }

  var subject: LogSubject {
    LogSubject(client: client?.id, pid: peer.pid, dialect: dialect.map { type(of: $0).name })
  }

  var isFull: Bool { outbox.count >= Self.fullOutbox }
  var wantsToRead: Bool { !inbox.isClosed && !isClosing && !isFull && handOver == nil }
  var wantsToWrite: Bool { !outbox.isEmpty }
  /// Nothing is left to do here.
  var isOver: Bool {
    outbox.isEmpty && handOver == nil && (isClosing || inbox.isClosed && openAnswers == 0)
  }

  /// Takes what is there into the inbox. False: nothing is. Throws where the connection is broken,
  /// or floods.
  func receive(mostDescriptors: Int) throws(Refusal) -> Bool {
    let arrival: UnixSocket.Arrival?
    do {
      arrival = try socket.receive(most: 1 << 14, descriptors: mostDescriptors)
    } catch {
      // ECONNRESET: it was closed with bytes of ours unread. The same as an end.
      inbox.isClosed = true
      return true
    }
    guard let arrival else { return false }
    inbox.bytes += arrival.bytes
    arrivedBytes += UInt64(arrival.bytes.count)
    inbox.descriptors += arrival.descriptors
    if arrival.bytes.isEmpty { inbox.isClosed = true }
    if arrival.lostDescriptors {
      throw Refusal(
        "descriptors were lost: a message had more than \(mostDescriptors), or the server has too many files open"
      )
    }
    if inbox.descriptors.count > mostDescriptors {
      throw Refusal(
        "\(inbox.descriptors.count) descriptors came that no request asked for; at most \(mostDescriptors) may wait"
      )
    }
    return true
  }

  func send(_ bytes: [UInt8]) { outbox += bytes }

  /// Writes what the socket takes. False: the other end is gone.
  func flush() -> Bool {
    do {
      while !outbox.isEmpty {
        let sent = try socket.send(outbox[...])
        if sent == 0 { break }
        outbox.removeFirst(sent)
      }
      return true
    } catch {
      outbox.removeAll()
      return false
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// The life of a server: one thread, which calls `run`, owns the listener, the connections and the
// signals. It waits in one place, does a bounded piece of work for whoever is ready, and waits
// again. Faults are not its business: they are served by the host's readers, however busy this
// thread is.
import CLinux
import Glibc
package import UffdHost
import UffdReport

package final class Server {
  enum Phase: String {
    case serving, draining
    /// What is missing is given up.
    case poisoning
  }

  let options: ServerOptions
  let dialects: [any Dialect.Type]
  let service: any Service
  let log: ServerLog
  let manager: ServiceManager
  let listener: Listener
  let poller: Poller
  let mailbox: Mailbox
  private let signals: Signals
  private let spare = SpareDescriptor()
  private var parent: Descriptor?
  private(set) var command: ChildCommand?
  /// Where a server that ends can be asked.
  var lateSocket: SocketFile?

  var phase = Phase.serving
  let began = monotonicNanoseconds()
  var counts = ServerCounts()
  var connections: [UInt64: Connection] = [:]
  /// By the client's id.
  var sessions: [UInt64: Session] = [:]
  var refusedUffds = RefusedUffds()
  /// Connections with whole requests that are served in the next turn.
  var waiting: [UInt64] = []
  let handOverThreads: HandOverThreads
  var nextHandOver: UInt64 = 1
  var nextConnection: UInt64 = 1
  var commandExit: Int32?
  var ending = Ending()
  /// Descriptors that one connection may have sent and no request have taken.
  private(set) var mostDescriptors = UnixSocket.mostDescriptors
  /// Accepting is put off until then, for want of descriptors.
  private var acceptsAgain: UInt64?
  private var statusDue: UInt64?

  /// `signals` was made before any thread was.
  package init(
    _ options: ServerOptions, _ listener: Listener, _ dialects: [any Dialect.Type],
    _ service: any Service, _ signals: Signals, _ manager: ServiceManager, _ log: ServerLog
  ) throws(HostError) {
    self.options = options
    self.dialects = dialects.filter { options.dialect == nil || $0.name == options.dialect }
    guard !self.dialects.isEmpty else {
      let known = dialects.map { $0.name }.joined(separator: ", ")
      throw HostError(
        .usage, "there is no dialect \((options.dialect ?? "").quoted); there are: \(known)")
    }
    self.listener = listener
    self.service = service
    self.signals = signals
    self.manager = manager
    self.log = log
    handOverThreads = HandOverThreads(most: options.mostHandshakes)
    do {
      poller = try Poller()
      mailbox = try Mailbox()
      try poller.add(listener.socket.fd, .listener)
      try poller.add(signals.fd, .signals)
      try poller.add(mailbox.fd, .mailbox)
    } catch {
      throw HostError(.system, "nothing can be waited for (\(error.name))")
    }
  }

  /// Serves until there is nothing left to serve. The exit code of the process.
  package func run() throws(HostError) -> Int32 {
    try start()
    while !isOver {
      for ready in poller.wait(until: nextDeadline) { attend(to: ready) }
      serveWaiting()
      let now = monotonicNanoseconds()
      if let time = acceptsAgain, now >= time { resumeAccepting() }
      expireHandshakes(now)
      if phase != .serving { tick(now) }
      tellStatus(now)
    }
    return finish()
  }

  private func start() throws(HostError) {
    if options.exitsWithParent {
      parent = try ParentProcess.watch(options.parent)
      if let parent {
        do { try poller.add(parent.fd, .parent) } catch {
          throw HostError(.system, "the parent cannot be watched (\(error.name))")
        }
      }
    }
    if let text = options.command {
      // Before the limit of descriptors is raised: it is inherited, and some programs cannot cope.
      let command = try ChildCommand(text, environment: ["UFFDHOST_SOCKET": listener.path ?? ""])
      do { try poller.add(command.fd, .command) } catch {
        throw HostError(.system, "the command cannot be watched (\(error.name))")
      }
      self.command = command
    }
    // All handshakes at once may not take more than a quarter of the table.
    let table = DescriptorTable.raiseLimit()
    mostDescriptors = max(4, min(mostDescriptors, table / (4 * options.mostHandshakes)))
    if table < 4 * options.mostClients {
      log.line(
        .warning,
        "\(options.mostClients) clients may need \(4 * options.mostClients) descriptors, and this process may "
          + "have \(table); raise 'ulimit -Hn' (LimitNOFILE=) or lower '--max-clients'")
    }
    log.line(
      .info,
      "serving '\(service.provider)' at \((listener.path ?? "a socket that was passed on").quoted)")
    manager.tellReady(statusText)
    if options.exitsWithParent, parent == nil { parentEnded() }
  }

  private func attend(to ready: Ready) {
    switch ready.source {
    case .listener: acceptSome()
    case .lateListener: acceptLate()
    case .signals: while let signal = signals.take() { received(signal) }
    case .mailbox: for notice in mailbox.take() { received(notice) }
    case .command: commandEnded()
    case .parent:
      if let fd = parent?.fd { poller.remove(fd) }
      parentEnded()
    case .connection(let id):
      if let connection = connections[id] { serve(connection, ready) }
    case .refused(let id): refusedUffds.drop(id, poller)
    }
  }

  /// When something is due although nothing happens.
  private var nextDeadline: UInt64? {
    if !waiting.isEmpty { return 0 }
    var deadlines = connections.values.compactMap { $0.handOver?.deadline ?? $0.deadline }
    deadlines += [acceptsAgain, statusDue].compactMap(\.self)
    if phase != .serving { deadlines.append(ending.nextTick) }
    if phase == .draining, let deadline = ending.deadline { deadlines.append(deadline) }
    return deadlines.min()
  }

  // MARK: Accepting

  /// A few at a time: whoever is connected already has his turn, too.
  private func acceptSome() {
    for _ in 0..<16 where acceptsAgain == nil {
      do {
        guard let socket = try listener.socket.accept() else { return }
        admit(socket)
      } catch {
        acceptFailed(error)
      }
    }
  }

  /// Whoever asks how far the end is.
  private func acceptLate() {
    guard let file = lateSocket else { return }
    do {
      while let socket = try file.socket.accept() { admit(socket, isLate: true) }
    } catch {
      // It is told again and again: without descriptors nobody can ask.
      poller.remove(file.socket.fd)
      lateSocket = nil
    }
  }

  /// Who wants to know how a server ends asks beside its path, which another server may take by then.
  func listenLate() {
    do throws(HostError) {
      guard let file = try listener.makeLateSocket() else { return }
      do { try poller.add(file.socket.fd, .lateListener) } catch {
        throw HostError(.system, "its socket cannot be watched (\(error.name))")
      }
      lateSocket = file
    } catch {
      log.line(.info, "'uffdhost status' cannot ask how far the end is: \(error.message)")
    }
  }

  /// The descriptors are used up: one is turned away with the spare one, and the others wait for
  /// better times.
  private func acceptFailed(_ error: Errno) {
    log.limited(
      .error,
      "a connection cannot be accepted (\(error.name))"
        + (error == .EMFILE ? "; raise 'ulimit -n' (LimitNOFILE=) or lower '--max-clients'" : ""),
      user: .max, LogSubject())
    guard error == .EMFILE || error == .ENFILE else { return }
    if spare.turnAway(listener.socket) { counts.refused += 1 }
    poller.change(listener.socket.fd, .listener, reads: false, writes: false)
    acceptsAgain = monotonicNanoseconds() + 100_000_000
  }

  private func resumeAccepting() {
    acceptsAgain = nil
    poller.change(listener.socket.fd, .listener, reads: true, writes: false)
  }

  /// Takes in everybody who has connected, for the last time.
  func acceptLast() {
    poller.remove(listener.socket.fd)
    acceptsAgain = nil
    listener.refuseConnections()
    guard listener.isOurs else { return }
    while let socket = try? listener.socket.accept() { admit(socket) }
  }

  // MARK: Status for the service manager

  /// What is told about this server has changed; it is told once a second at most.
  func noteChange() {
    if statusDue == nil, phase == .serving { statusDue = monotonicNanoseconds() + 1_000_000_000 }
  }

  private func tellStatus(_ now: UInt64) {
    guard let due = statusDue, now >= due else { return }
    statusDue = nil
    if phase == .serving { manager.tellStatus(statusText) }
  }

  private var statusText: String {
    let bytes = sessions.values.reduce(0) {
      $0 + $1.regions.reduce(0) { $0 + $1.upperBound - $1.lowerBound }
    }
    return "serving \(sessions.count) clients, \(Units.bytes(UInt64(bytes)))"
  }
}

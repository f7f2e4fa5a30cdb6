// SPDX-License-Identifier: Apache-2.0
// How a server ends: no new clients, every page of the old ones filled, and only then let go. Never
// is a uffd closed with missing pages under a living client: what cannot be filled in time is
// poisoned.
import Glibc
import UffdHost
import UffdReport

/// What an end is waiting for.
struct Ending {
  var began: UInt64 = 0
  /// When missing pages are given up; nil: there is no hurry.
  var deadline: UInt64?
  var nextTick: UInt64 = 0
  /// Of all clients, when it began.
  var missingAtFirst: UInt64 = 0
  /// Clients whose end was not told yet: they leave the core's list before that.
  var awaited: Set<UInt64> = []
  /// The command did not end in time, and is not waited for.
  var leavesCommand = false
}

extension Server {
  func received(_ signal: Int32) {
    let name = signal == SIGTERM ? "SIGTERM" : signal == SIGINT ? "SIGINT" : "SIGHUP"
    if signal == SIGHUP {
      return log.line(
        .info, "SIGHUP: there is nothing to read again; the configuration is the command line")
    }
    switch phase {
    case .serving:
      command?.send(SIGTERM)
      beginDraining("\(name)", deadline: monotonicNanoseconds() + options.drainNanoseconds)
    case .draining where ending.deadline == nil:
      command?.send(SIGTERM)
      ending.deadline = monotonicNanoseconds() + options.drainNanoseconds
      log.line(
        .info,
        "\(name): what is missing is filled within "
          + Units.duration(nanoseconds: options.drainNanoseconds))
    case .draining: giveUp("a second signal came (\(name))")
    case .poisoning: log.line(.warning, "\(name): already ending, as fast as is safe")
    }
  }

  func parentEnded() {
    guard phase == .serving else { return }
    command?.send(SIGTERM)
    beginDraining(
      "the parent has ended", deadline: monotonicNanoseconds() + options.drainNanoseconds)
  }

  func commandEnded() {
    guard let command, let code = command.exitCode() else { return }
    poller.remove(command.fd)
    commandExit = code
    // Nobody has asked for haste.
    if phase == .serving { beginDraining("the command has ended (code \(code))", deadline: nil) }
  }

  private func beginDraining(_ reason: String, deadline: UInt64?) {
    phase = .draining
    let now = monotonicNanoseconds()
    ending = Ending(
      began: now, deadline: deadline, nextTick: now + options.tickNanoseconds,
      missingAtFirst: missingBytes)
    let count = remaining.count
    log.line(
      .info,
      "\(reason): no new clients, \(count) to be drained, \(Units.bytes(ending.missingAtFirst)) missing"
    )
    manager.tellStopping("draining \(count) clients")
    acceptLast()
    listenLate()
    hurryHandshakes(now)
    endAll()
  }

  /// Whoever has connected is still served, if he hands over what he has in a moment.
  private func hurryHandshakes(_ now: UInt64) {
    for connection in connections.values {
      // Of several userfaultfds another one may be on its way.
      if let deadline = connection.deadline ?? (connection.handsOverSeveral ? .max : nil) {
        connection.deadline = min(deadline, now + 1_000_000_000)
      }
      if let handOver = connection.handOver {
        connection.handOver?.deadline = min(handOver.deadline, now + 1_000_000_000)
      }
    }
  }

  /// Lets clients go, in the way of the phase. Asked twice is asked once, and children of forks may
  /// have come.
  func endAll() {
    for client in remaining {
      ending.awaited.insert(client.id)
      if phase == .poisoning {
        client.poisonMissing()
      } else {
        client.drain()
      }
    }
  }

  private func giveUp(_ reason: String) {
    phase = .poisoning
    ending.leavesCommand = true
    let count = remaining.count
    log.line(
      count == 0 ? .warning : .error,
      "\(reason): \(Units.bytes(missingBytes)) of \(count) clients are missing and are given up")
    endAll()
  }

  /// Clients that are waited for: not those that asked to be left alone, for they may have gone to
  /// another server.
  private var remaining: [any ServedClient] {
    service.clients.filter { sessions[$0.id]?.isDetached != true }
  }

  private var missingBytes: UInt64 {
    remaining.reduce(0) { $0 + $1.progress.missingBytes }
  }

  /// Once in a while: what is waited for, and for how long.
  func tick(_ now: UInt64) {
    if phase == .draining, let deadline = ending.deadline, now >= deadline {
      giveUp("the time for draining is over")
    }
    guard now >= ending.nextTick else { return }
    ending.nextTick = now + options.tickNanoseconds
    endAll()
    let text = waiting(now)?.text ?? ""
    log.line(.info, text)
    manager.askForTime(seconds: max(1, options.tickNanoseconds / 250_000_000), text)
  }

  /// What is waited for, as `status` tells it; nil: the server does not end.
  func waiting(_ now: UInt64) -> StatusReport.Waiting? {
    if phase == .serving { return nil }
    var waiting = StatusReport.Waiting()
    waiting.sinceNanoseconds = now - ending.began
    waiting.clients = UInt64(remaining.count)
    waiting.handshakes = UInt64(openHandshakes)
    waiting.waitsForCommand = command != nil && commandExit == nil && !ending.leavesCommand
    waiting.missingBytes = missingBytes
    guard phase == .draining else { return waiting }
    let missing = waiting.missingBytes
    let filled = ending.missingAtFirst - min(ending.missingAtFirst, missing)
    if filled > 0, missing > 0 {
      let estimate = Double(missing) / Double(filled) * Double(now - ending.began)
      waiting.estimateNanoseconds = UInt64(exactly: estimate.rounded()) ?? .max
    }
    if let deadline = ending.deadline {
      waiting.patienceNanoseconds = deadline - min(now, deadline)
    }
    return waiting
  }

  private var openHandshakes: Int {
    connections.values.count {
      $0.deadline != nil && !$0.isClosing && (!$0.isExcused || $0.handsOverSeveral) && !$0.isLate
    }
  }

  var isOver: Bool {
    guard phase != .serving, openHandshakes == 0,
      command == nil || commandExit != nil || ending.leavesCommand
    else { return false }
    // Children of forks come by themselves.
    ending.awaited.formUnion(remaining.map(\.id))
    return ending.awaited.isEmpty
  }

  /// The last words. The exit code of the process.
  func finish() -> Int32 {
    for connection in connections.values { _ = connection.flush() }
    connections.removeAll()
    lateSocket?.remove()
    for session in sessions.values {
      log.line(
        .warning,
        "was left alone, and this server ends: its missing pages stall only if it has its userfaultfd itself",
        session.subject)
    }
    for pid in refusedUffds.pids {
      log.line(
        .warning,
        "its hand-off was refused, and this server, which kept its userfaultfd, ends; "
          + "end it too, unless it has a copy", LogSubject(pid: pid))
    }
    log.line(
      .info,
      "ended: \(counts.clients) clients were served, \(counts.refused) connections refused")
    if let commandExit { return commandExit }
    return counts.poisonedBytes > 0 || command != nil ? 1 : 0
  }
}

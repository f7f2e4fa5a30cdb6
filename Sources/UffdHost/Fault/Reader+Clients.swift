// SPDX-License-Identifier: Apache-2.0
// The clients of a reader: taken on, looked after, let go. Rare: may allocate and count references.
import Glibc

extension Reader {
  private static let careInterval: UInt64 = 250_000_000
  private static let carePromptly: UInt64 = 2_000_000
  private static let watchAgain: UInt64 = 50_000_000

  /// Serves a client from now on, or says why it cannot (`Client.refusal`).
  mutating func adopt(_ client: Client) {
    do {
      try watch(client)
    } catch {
      // Nobody would read its faults. Who handed it over can be told so; a child of a fork is there already.
      guard client.parent != nil else {
        client.refusal = HostError(
          .system,
          "the userfaultfd cannot be watched (\(error.name)); raise fs.epoll.max_user_watches, or lower "
            + "'--max-clients'")
        return
      }
      watchLater(client, error)
    }
    watchExit(client)
    exclude(client)
    clients.append(client)
    port.clientCount.add(1)
    nextCare = min(nextCare, monotonicNanoseconds() + Self.careInterval)
  }

  private func watch(_ client: Client) throws(Errno) {
    do {
      unsafe try poller.add(client.uffd.fd, tag: Self.tag(client.record, .messages))
    } catch {
      if error != .EEXIST { throw error }
    }
  }

  /// Epoll has no memory, or its limit of watches is reached.
  private mutating func watchLater(_ client: Client, _ error: Errno) {
    reporter.cannotWatch(client.id, error)
    let again = monotonicNanoseconds() + Self.watchAgain
    unsafe client.record.pointee.pausedUntil = again
    nextCare = min(nextCare, again)
  }

  /// A client that shares a memfd with clients of other readers takes the exclusion with them. Between two
  /// turns, or before the first.
  func exclude(_ client: Client) {
    guard client.backings.contains(where: \.isCrossed) else { return }
    unsafe client.record.pointee.exclusion = client.instance.host.session.crossing
  }

  private func watchExit(_ client: Client) {
    guard let pidfd = client.identity.pidfd, client.parent == nil else { return }
    unsafe client.isExitWatched =
      (try? poller.add(pidfd.fd, tag: Self.tag(client.record, .exit))) != nil
  }

  /// The process of a client has ended. Its memory may still be another one's.
  @inline(never)
  mutating func hasExited(_ session: SessionPointer) {
    guard let client = unsafe session.pointee.client?.takeUnretainedValue() else { return }
    if client.isExitWatched, let pidfd = client.identity.pidfd {
      poller.remove(pidfd.fd)
      client.isExitWatched = false
    }
    unsafe session.pointee.isSuspect = true
    nextCare = 0
  }

  /// Finds out which clients are gone, comes back to what was paused, goes on with drains, and frees what
  /// ended.
  @inline(never)
  mutating func lookAfterClients() {
    let now = monotonicNanoseconds()
    for drain in drains where now >= drain.due { advance(drain, now) }
    for prefetch in prefetches where now >= prefetch.due { advance(prefetch, now) }
    if now >= nextCare {
      nextCare = clients.isEmpty ? .max : now + Self.careInterval
      // Backwards: a client that ends leaves the list.
      for index in clients.indices.reversed() { care(for: clients[index], now) }
    }
    for drain in drains { nextCare = min(nextCare, max(now, drain.due)) }
    for prefetch in prefetches { nextCare = min(nextCare, max(now, prefetch.due)) }
    ended.removeAll()
    setCareTimer()
  }

  private mutating func care(for client: Client, _ now: UInt64) {
    let session = unsafe client.record
    unsafe attend(session)
    let paused = unsafe session.pointee.pausedUntil
    if paused != 0 {
      if now >= paused {
        unsafe session.pointee.pausedUntil = 0
        // Who was left alone meanwhile has it read by somebody else.
        if client.currentPhase != .detached {
          // A client can take the flag away, for it holds the same open file.
          client.uffd.setNonblocking()
          do { try watch(client) } catch { watchLater(client, error) }
        }
      } else {
        nextCare = min(nextCare, paused)
      }
    }
    let strangers = client.strangers.takeDue(now, deadline)
    for page in strangers.again { calls.wake(page, length: 4096) }
    for page in strangers.over { _ = unsafe refuse(page, client.id) }
    if let next = client.strangers.next { nextCare = min(nextCare, next) }
    if !isAlive() {
      end(client, .gone)
    } else if unsafe session.pointee.isSuspect {
      // The process is dead and its memory not yet torn down, or shared with another one.
      nextCare = min(nextCare, now + Self.carePromptly)
      unsafe session.pointee.isSuspect = false
    }
  }

  /// Whether the memory behind the session that is attended to still exists. CONTINUE at an address that is
  /// in no registration: ENOENT (or EAGAIN) while it lives, ESRCH when it is gone; it never does anything.
  func isAlive() -> Bool {
    calls.continue(0x7fff_ffff_0000, length: 4096).error != Errno.ESRCH.rawValue
  }

  /// An event is under way: the sender has not run on since it was read, or it was not read yet.
  func isChanging() -> Bool {
    calls.continue(0x7fff_ffff_0000, length: 4096).error == Errno.EAGAIN.rawValue
  }

  /// Reads this session again a little later, and others meanwhile.
  @inline(never)
  mutating func pause(_ session: SessionPointer) {
    guard let client = unsafe session.pointee.client else { return sleepBriefly() }
    let until = monotonicNanoseconds() + 5_000_000
    unsafe session.pointee.pausedUntil = until
    unsafe client._withUnsafeGuaranteedRef { poller.remove($0.uffd.fd) }
    nextCare = min(nextCare, until)
  }

  /// Forgets a client. Its questions are dropped, what workers bring for it is undone.
  mutating func end(_ client: Client, _ reason: Client.End) {
    let session = unsafe client.record
    unsafe attend(session)
    unsafe session.pointee.hasEnded = true
    poller.remove(client.uffd.fd)
    if client.isExitWatched, let pidfd = client.identity.pidfd { poller.remove(pidfd.fd) }
    client.isExitWatched = false
    clearTable()
    endDrains(of: client, "client \(client.id) ended before it was filled")
    endPrefetches(of: client)
    clients.removeAll { $0 === client }
    port.clientCount.add(~0)
    client.backings = []
    client.enter(reason == .gone ? .gone : .drained)
    client.instance.host.clients.remove(client)
    client.leave()
    // Tags of this turn may still mean it.
    ended.append(client)
    client.onEnd(client, reason)
  }

  /// What the control thread asks for a client.
  mutating func change(_ client: Client, _ change: ClientChange) {
    let session = unsafe client.record
    if unsafe session.pointee.hasEnded {
      switch change {
      case .remove(_, let completion): completion(nil)
      case .add(let addition): addition.error = HostError(.service, "the client has ended")
      case .prefetch(let prefetch): prefetch.prefetch.endPart()
      case .drain, .poisonMissing, .detach, .inspect: break
      }
      return
    }
    unsafe attend(session)
    switch change {
    case .add(let addition): add(addition, to: client)
    case .remove(let range, let completion): remove(range, of: client, completion)
    case .drain: startDrain(client, poisons: false)
    case .poisonMissing: startDrain(client, poisons: true)
    case .detach: detach(client)
    case .prefetch(let prefetch): start(prefetch)
    case .inspect(let inspection):
      inspection.count(client.strangers)
      for index in unsafe 0..<session.pointee.table.count {
        unsafe inspection.list(session.pointee.table.regions[index])
      }
      for index in 0..<questions.activeCount {
        let question = unsafe questions.slots + Int(questions.active[index])
        if unsafe question.pointee.region?.pointee.session == session {
          unsafe inspection.count(question)
        }
      }
    }
  }

  private mutating func add(_ addition: ClientAddition, to client: Client) {
    let session = unsafe client.record
    guard client.currentPhase == .serving else {
      addition.error = HostError(.usage, "the client is being let go; it takes no more regions")
      return
    }
    for region in addition.plan.regions {
      // What grew into the place was never handed over. Where it was touched it has zeroes now, which no
      // content can replace; mapped anew, it is other memory.
      if showsZeroes(region.start..<(region.start + region.length)) {
        addition.error = HostError(
          .usage,
          "\(ClientPlan.name(region)) was touched before it was handed over, and reads zero; map it anew, and "
            + "hand it over before anything touches it")
        return
      }
      cut(region.start..<(region.start + region.length), onlyGrown: true)
      if unsafe session.pointee.table.overlaps(region.start, region.length) {
        addition.error = HostError(
          .usage, "\(ClientPlan.name(region)) overlaps one that is served already")
        return
      }
    }
    do {
      let records = unsafe try addition.plan.makeRecords(session: session)
      for record in records { unsafe session.pointee.table.insert(record.region) }
      for region in addition.plan.regions {
        client.strangers.take(region.start..<(region.start + region.length))
      }
      client.backings += addition.plan.backings
      exclude(client)
    } catch {
      addition.error = error
    }
  }

  /// Forgets every region of the session that is attended to.
  private mutating func clearTable() {
    let all = regions(meeting: 0..<UInt64.max)
    retire(all)
    for place in all { unsafe free(place.region) }
  }

  /// Leaves a client alone: nothing is read or installed any more, and its uffd stays open until it ends.
  private mutating func detach(_ client: Client) {
    poller.remove(client.uffd.fd)
    client.enter(.detached)
    // Who slept on one asks again, whoever reads the uffd now.
    clearTable()
    endDrains(of: client, "it was left alone before that was filled")
    endPrefetches(of: client)
  }

  /// Whoever waits for a part of it to be let go is told that it was not.
  private mutating func endDrains(of client: Client, _ reason: String) {
    for drain in drains where drain.client === client {
      drain.completion?(HostError(.service, reason))
    }
    drains.removeAll { $0.client === client }
  }

  // MARK: fork

  /// The client forked: the child's pages fault on a uffd of its own, which the kernel has put into our
  /// table (`resolve_userfault_fork`). It has the same regions, in the state in which they are now.
  mutating func fork(_ descriptor: Int32) {
    guard let parent = unsafe session.pointee.client?.takeUnretainedValue() else { return }
    let uffd = Descriptor(owning: descriptor)
    // It has the flags with which the parent's was opened, not those that it has now.
    uffd.setNonblocking()
    let parentSession = unsafe session
    do throws(HostError) {
      let child = try Client(
        parent.instance, parent.identity, uffd, port, parent: parent.id, family: parent.family,
        parent.recording, parent.onEnd)
      for index in unsafe 0..<parentSession.pointee.table.count {
        let region = unsafe parentSession.pointee.table.regions[index]
        unsafe try child.record.pointee.table.insert(copy(of: region, for: child))
      }
      child.backings = parent.backings
      child.strangers = parent.strangers
      if parent.currentPhase != .serving { child.enter(parent.currentPhase) }
      child.instance.host.clients.add(child)
      adopt(child)
      let host = child.instance.host
      let count = host.clients.count(ofFamily: child.family)
      if count > host.options.mostOfFamily {
        reporter.tooManyForks(parent.id, count - 1)
        return startDrain(child, poisons: true)
      }
      if let fill = child.inheritFill(from: parent) { start(fill) }
      if parent.currentPhase == .draining { startDrain(child, poisons: false) }
    } catch {
      // Never closed: the child would read zeroes. Its threads sleep; the log says why.
      reporter.cannotFollow(parent.id, "fork", error.message)
      unsafe _ = Unmanaged.passRetained(uffd)
    }
  }

  private func copy(
    of region: UnsafeMutablePointer<RegionRecord>, for child: Client
  ) throws(HostError) -> UnsafeMutablePointer<RegionRecord> {
    let count = unsafe region.pointee.states.count
    guard let memory = try? Mapping.table(PageStates.bytes(for: count)) else {
      throw HostError(.system, "there is no memory for its page states")
    }
    let states = unsafe PageStates(memory.base, count: count)
    unsafe states.copy(from: region.pointee.states)
    return unsafe makeRecord(
      session: child.record, start: region.pointee.start, length: region.pointee.length,
      child.instance, firstPgoff: region.pointee.firstPgoff, region.pointee.shape,
      backing: region.pointee.backing, memory, states)
  }

  /// read(2) could not hand out a fork's uffd for want of a descriptor: one is kept for this. Until there
  /// is room again, the client's fork(2) waits.
  @inline(never)
  mutating func unreadableFork(_ error: Errno) {
    let client = unsafe session.pointee.client?._withUnsafeGuaranteedRef { $0.id } ?? 0
    if spare.spend() {
      readMessages()
      return
    }
    reporter.cannotFollow(client, "fork", error.name)
    unsafe pause(session)
  }
}

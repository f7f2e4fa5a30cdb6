// SPDX-License-Identifier: Apache-2.0
// Letting a client go: fill everything, or poison it; then stop
// watching. A uffd is never closed and a range never unregistered while pages are missing.

extension Reader {
  /// Begins to let a client go, or, if that goes on already, to do it by poison.
  mutating func startDrain(_ client: Client, poisons: Bool) {
    if let drain = drains.first(where: { $0.client === client && $0.range == nil }) {
      if poisons { drain.poisons = true }
      drain.due = 0
    } else if client.currentPhase != .detached || poisons {
      let drain = ClientDrain(client)
      drain.poisons = poisons
      drains.append(drain)
      if client.currentPhase == .serving { client.enter(.draining) }
    }
    nextCare = 0
  }

  /// Begins to let a range go.
  mutating func remove(
    _ range: Range<UInt64>, of client: Client,
    _ completion: @escaping @Sendable (HostError?) -> Void
  ) {
    guard client.currentPhase != .detached else {
      return completion(HostError(.usage, "it is left alone since it asked for that"))
    }
    let table = unsafe client.record.pointee.table
    for index in 0..<table.count {
      let region = unsafe table.regions[index]
      let meets =
        unsafe region.pointee.start < range.upperBound && range.lowerBound < region.end
      let isInside =
        unsafe region.pointee.start >= range.lowerBound && region.end <= range.upperBound
      if meets && !isInside {
        return completion(
          HostError(.usage, "the range cuts a region; give whole regions"))
      }
    }
    drains.append(ClientDrain(client, range, completion))
    nextCare = 0
  }

  /// One step of a drain. Called again when it is due.
  mutating func advance(_ drain: ClientDrain, _ now: UInt64) {
    let session = unsafe drain.client.record
    // Another drain of the same client may have been the last one.
    if unsafe session.pointee.hasEnded { return }
    unsafe attend(session)
    if drain.isLettingGo { return finishLettingGo(drain, now) }
    if drain.poisons {
      // Not after the fill that goes on: it may hang.
      drain.order = nil
      return poisonRest(drain, now)
    }
    if let order = drain.order {
      guard order.isDone else {
        drain.due = now + 1_000_000
        return
      }
      drain.failed += order.failed
      drain.order = nil
    }
    if let region = unsafe nextRegion(drain) {
      drain.next = unsafe region.end
      if unsafe isSettled(region, byFillOf: nil) {
        drain.due = 0
        return
      }
      let order = unsafe FillOrder(
        region: region, instance: region.pointee.instance, backing: region.pointee.backing,
        pgoffs: region.pgoffs)
      drain.order = order
      fills.append(order)
      drain.due = now + 1_000_000
      return
    }
    // The pass is over. What was discarded or could not be had meanwhile needs another one.
    readMessages()
    if unsafe session.pointee.hasEnded { return }
    drain.next = 0
    if isSettled(drain) { return letGo(drain, now) }
    drain.began = now
    drain.due = now + (drain.failed > 0 ? 100_000_000 : 1_000_000)
    drain.failed = 0
  }

  private func nextRegion(_ drain: ClientDrain) -> UnsafeMutablePointer<RegionRecord>? {
    for index in unsafe 0..<session.pointee.table.count {
      let region = unsafe session.pointee.table.regions[index]
      if unsafe region.pointee.start >= drain.next, unsafe drain.covers(region) {
        return unsafe region
      }
    }
    return nil
  }

  private mutating func isSettled(_ drain: ClientDrain) -> Bool {
    for index in unsafe 0..<session.pointee.table.count {
      let region = unsafe session.pointee.table.regions[index]
      if unsafe drain.covers(region), unsafe !isSettled(region, byFillOf: drain.began) {
        return false
      }
    }
    return true
  }

  /// Whether a region would read right if the kernel served it alone. Without a fill nothing says that
  /// private pages of a file are still zero after they were given back.
  private mutating func isSettled(
    _ region: UnsafeMutablePointer<RegionRecord>, byFillOf began: UInt64?
  ) -> Bool {
    if unsafe region.pointee.shape.readsZero { return true }
    if unsafe region.pointee.backing == nil {
      return unsafe region.pointee.states.count(ofBits: RegionPage.unmapped.rawValue) == 0
    }
    let backing = unsafe region.pointee.backing
    var pgoff = unsafe region.pgoffs.lowerBound
    let end = unsafe region.pgoffs.upperBound
    while pgoff < end {
      let look = unsafe look(region, backing, pgoff)
      // A private page that was given back and zeroed is there; one that was not is not.
      let isZeroed =
        began.map { unsafe look.region == .discarded && region.isZeroed(byFillOf: $0) } ?? false
      if !isZeroed, unsafe isUnfilled(region, look) { return false }
      pgoff += unsafe run(of: look, region, backing, from: pgoff, atMost: end - pgoff)
    }
    return true
  }

  /// UNREGISTER wakes who waits for missing pages, and nobody else.
  private mutating func letGo(_ drain: ClientDrain, _ now: UInt64) {
    let client = drain.client
    let covered = regions(meeting: 0..<UInt64.max).filter { unsafe drain.covers($0.region) }
    var poisoned: UInt64 = 0
    for place in covered {
      let region = unsafe place.region
      poisoned +=
        unsafe region.pointee.states.count(ofBits: RegionPage.poisoned.rawValue)
        * region.pointee.granule
      if let error = unsafe client.unregister(region.pointee.start, region.pointee.length) {
        reporter.notReleased(client.id, error)
      }
    }
    retire(covered)
    for place in covered { unsafe free(place.region) }
    drain.poisonedBytes = poisoned
    drain.isLettingGo = true
    if drain.range != nil {
      drains.removeAll { $0 === drain }
      drain.completion?(
        poisoned == 0
          ? nil : HostError(.service, "\(poisoned) bytes of it could not be had; they are poisoned")
      )
      return
    }
    finishLettingGo(drain, now)
  }

  /// A thread that changes its address space may be about to send an event, and would wait for ever for
  /// somebody to read it. No new one can begin: nothing is registered. `mmap_changing` tells when the last
  /// one is through.
  private mutating func finishLettingGo(_ drain: ClientDrain, _ now: UInt64) {
    readMessages()
    if unsafe session.pointee.hasEnded { return }
    if isChanging() {
      drain.due = now + 1_000_000
      return
    }
    end(drain.client, isAlive() ? .drained(poisoned: drain.poisonedBytes) : .gone)
  }

  /// Poisons what is missing, in pieces between batches.
  private mutating func poisonRest(_ drain: ClientDrain, _ now: UInt64) {
    readMessages()
    if unsafe session.pointee.hasEnded { return }
    for index in unsafe 0..<session.pointee.table.count {
      let region = unsafe session.pointee.table.regions[index]
      guard unsafe drain.covers(region), unsafe !isSettled(region, byFillOf: nil) else { continue }
      // Whatever waits for content of it waits for nothing.
      unsafe forget(region.pointee.id)
      drain.due = unsafe poisonMissing(region, drain.client) ? 0 : now + 1_000_000
      return
    }
    letGo(drain, now)
  }

  /// Poisons the missing pages of a region; false: the kernel puts it off.
  private mutating func poisonMissing(
    _ region: UnsafeMutablePointer<RegionRecord>, _ client: Client
  ) -> Bool {
    let count = unsafe region.pointee.states.count
    let granule = unsafe region.pointee.granule
    let first = unsafe region.pointee.firstPgoff
    let backing = unsafe region.pointee.backing
    var page: UInt64 = 0
    while page < count {
      let look = unsafe look(region, backing, first + page)
      let length = unsafe run(
        of: look, region, backing, from: first + page, atMost: min(16384, count - page))
      guard unsafe isUnfilled(region, look) else {
        page += length
        continue
      }
      let start = unsafe region.address(of: page)
      let result = calls.poison(start, length: length * granule)
      let done = result.succeeded ? length : result.done > 0 ? UInt64(result.done) / granule : 0
      unsafe region.pointee.states.set(page..<(page + done), RegionPage.poisoned)
      counters.add(.poisoned, done * granule)
      page += done
      if done == length { continue }
      switch Errno(result.error) {
      case .EAGAIN where done > 0: continue
      case .EAGAIN: return false
      case .EEXIST: unsafe region.pointee.states.set(page, RegionPage.mapped)
      case .ENOENT, .EFAULT:
        // Split by the client, or not its memory any more. Page by page, and what is not there is settled.
        let single = calls.poison(start + done * granule, length: granule)
        if single.error == Errno.EAGAIN.rawValue { return false }
        unsafe region.pointee.states.set(
          page, single.succeeded ? RegionPage.poisoned : RegionPage.mapped)
      case .ESRCH: return true
      default:
        if !client.kill(reporter) { return false }
        // It is dead: nobody reads what is marked here.
        unsafe region.pointee.states.set(page..<count, RegionPage.poisoned)
        return true
      }
      page += 1
    }
    return true
  }
}

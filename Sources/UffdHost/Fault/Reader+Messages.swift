// SPDX-License-Identifier: Apache-2.0
// Reading the uffd. The kernel hands out page faults before events that are older
// (userfaultfd_ctx_read), so a batch's events are applied before any of its faults is looked at, and the
// queue is read until it is empty.

/// Faults of a batch on pages that follow each other, of one kind; one, as a rule.
@safe struct MergedFault {
  var region: UnsafeMutablePointer<RegionRecord>
  var page: UInt64
  var length: UInt64
  var kind: FaultKind
  var access: UInt64
}

extension Reader {
  /// Reads the session that is attended to, serving what it finds: until its queue is empty, or others have
  /// waited long enough. The number of reads that brought something.
  @discardableResult
  mutating func readMessages(atMost most: Int = Reader.readsPerTurn) -> Int {
    let batch = unsafe session == local ? localBatch : Self.largestBatch
    let room = batch * UffdMessage.size
    for reads in 0..<most {
      let asked = beginTiming()
      exclusion.beginReading()
      let length = unsafe calls.read(messages, room)
      let count = max(0, length) / UffdMessage.size
      applyEvents(count)
      // Here as well, because the region table may change as soon as reading is over.
      let merged = mergeFaults(count)
      exclusion.endReading()
      // Nothing: another reader took it, or its thread was interrupted and asks again later.
      if count == 0 {
        unreadable(length)
        return reads
      }
      serveFaults(merged)
      if asked != 0 { endTiming(asked, merged) }
      // A read that returned fewer than fit has emptied the queue.
      if count < batch { return reads + 1 }
    }
    return most
  }

  /// Each sixteenth turn of a client is timed: when it began, or 0.
  @inline(__always)
  private mutating func beginTiming() -> UInt64 {
    if unsafe session == local { return 0 }
    unsafe session.pointee.turns += 1
    guard unsafe session.pointee.turns & 15 == 0 else { return 0 }
    unsafe session.pointee.putOffBefore = counters.get(.putOff)
    return monotonicNanoseconds()
  }

  /// A fault that was put off is timed when it ends.
  @inline(__always)
  private mutating func endTiming(_ asked: UInt64, _ faults: Int) {
    guard faults > 0, unsafe counters.get(.putOff) == session.pointee.putOffBefore else { return }
    unsafe session.pointee.latency.record(
      monotonicNanoseconds() - asked, weight: UInt64(faults) * 16)
  }

  /// read(2) brought nothing. EAGAIN and EINTR are its ordinary ways to say so.
  @inline(never)
  private mutating func unreadable(_ result: Int) {
    let error = Errno(Int32(clamping: -result))
    if result >= 0 || error == .EAGAIN || error == .EINTR { return }
    if error == .EMFILE || error == .ENFILE || error == .ENOMEM { return unreadableFork(error) }
    reporter.readFailed(error)
    // The poller will report the same again at once.
    unsafe pause(session)
  }

  @inline(__always)
  private mutating func message(_ index: Int) -> UffdMessage {
    unsafe UffdMessage(messages + index * UffdMessage.size)
  }

  /// Applies every event of the batch. Reading is the acknowledgement: the client's madvise goes on.
  private mutating func applyEvents(_ count: Int) {
    for index in 0..<count where !message(index).isFault {
      let message = message(index)
      if message.event == UffdMessage.remove {
        discard(from: message.rangeStart, to: message.rangeEnd)
      } else {
        changeLayout(message)
      }
    }
  }

  /// Marks what a client gave back. A granule that is only partly in the range still has content.
  mutating func discard(from start: UInt64, to end: UInt64) {
    guard start < end else { return }
    for index in unsafe session.pointee.table.places(meeting: start..<end) {
      let region = unsafe session.pointee.table.regions[index]
      let low = unsafe max(start, region.pointee.start)
      let high = unsafe min(end, region.end)
      let granule = unsafe region.pointee.granule
      let first = unsafe (low - region.pointee.start + granule - 1) / granule
      let last = unsafe (high - region.pointee.start) / granule
      guard first < last else { continue }
      unsafe region.pointee.states.set(first..<last, RegionPage.discarded)
      if unsafe region.isPrivateOfFile {
        unsafe region.pointee.lastDiscard = monotonicNanoseconds()
      }
      unsafe discardShared(region, first..<last)
      counters.add(.discarded, last - first)
    }
  }

  /// What was given back of shared memory before it was ever filled is a hole of the file from now on, and
  /// a hole is one for every mapping: else one would read zero and the next one content. (Whether the
  /// client freed the page or only its mapping of it no event tells.)
  private func discardShared(
    _ region: UnsafeMutablePointer<RegionRecord>, _ pages: Range<UInt64>
  ) {
    let shape = unsafe region.pointee.shape
    guard shape.shared, shape.fillsBacking, !shape.arrivesFilled,
      let backing = unsafe region.pointee.backing
    else { return }
    let pgoffs =
      unsafe region.pgoff(of: pages.lowerBound)..<region.pgoff(of: pages.upperBound)
    // What is on its way is older than the hole: its install finds that the claim is gone.
    unsafe backing.pointee.states.punchUnpublished(pgoffs)
  }

  /// Merges the batch's faults where they meet. Threads on one page are one fault: an install wakes them all.
  /// The order stays that in which they came: sorted by address they were served up to a tenth slower, with
  /// four or eight threads on one CPU.
  private mutating func mergeFaults(_ count: Int) -> Int {
    var merged = 0
    var moment = BatchMoment()
    // The pages so far: as a rule they tell that none is near.
    var pages = NearPages()
    for index in 0..<count {
      let message = message(index)
      guard message.isFault else { continue }
      let flags = message.faultFlags
      let kind = FaultKind(flags: flags)
      switch kind {
      case .missing: counters.add(.missing)
      case .minor: counters.add(.minor)
      case .unknown:
        counters.add(.wp)
        reporter.unknownFault(flags)
      }
      let address = message.faultAddress
      guard let region = unsafe session.pointee.table.find(address) ?? stranger(address) else {
        continue
      }
      // Field by field, here and where it is read: a copy of the whole waits for its stores to be done.
      let fault = unsafe faults + merged
      unsafe fault.pointee.region = unsafe region
      let page = unsafe region.page(of: address)
      unsafe fault.pointee.page = page
      unsafe fault.pointee.length = 1
      unsafe fault.pointee.kind = kind
      unsafe fault.pointee.access = flags & UffdMessage.writeFlag
      if pages.note(page), unsafe joins(fault, merged) { continue }
      unsafe noteTouch(fault, &moment)
      merged += 1
    }
    return merged
  }

  /// What was given back needs no content when it is touched again.
  @inline(__always)
  private func noteTouch(_ fault: UnsafeMutablePointer<MergedFault>, _ moment: inout BatchMoment) {
    let region = unsafe fault.pointee.region
    if let touches = unsafe region.pointee.touches,
      unsafe region.pointee.states.region(fault.pointee.page) == .unmapped
    {
      unsafe touches.note(region.pgoff(of: fault.pointee.page), at: moment.next())
    }
  }

  /// Whether a fault has become part of one before it.
  @inline(never)
  private mutating func joins(_ fault: UnsafeMutablePointer<MergedFault>, _ merged: Int) -> Bool {
    for place in 0..<merged {
      let other = unsafe faults + place
      // In it, right before it or right behind it: from 0 to length + 1.
      let distance = unsafe fault.pointee.page &+ 1 &- other.pointee.page
      if unsafe distance <= other.pointee.length + 1,
        unsafe other.pointee.region == fault.pointee.region, unsafe join(fault, other)
      {
        return true
      }
    }
    return false
  }

  private mutating func join(
    _ fault: UnsafeMutablePointer<MergedFault>, _ other: UnsafeMutablePointer<MergedFault>
  ) -> Bool {
    let start = unsafe other.pointee.page
    let page = unsafe fault.pointee.page
    if unsafe page >= start && page < start + other.pointee.length {
      // The newer message knows better of what kind the fault is now.
      if unsafe other.pointee.length == 1 { unsafe other.pointee.kind = fault.pointee.kind }
      counters.add(.alreadyPresent)
    } else {
      let most = unsafe Self.largestRun >> fault.pointee.region.pointee.granuleShift
      guard unsafe other.pointee.kind == fault.pointee.kind, unsafe other.pointee.length < most
      else { return false }
      var moment = BatchMoment()
      unsafe noteTouch(fault, &moment)
      unsafe other.pointee.page = min(start, page)
      unsafe other.pointee.length += 1
    }
    unsafe other.pointee.access |= fault.pointee.access
    return true
  }
}

// SPDX-License-Identifier: Apache-2.0
// A client changes its address space: UNMAP, REMAP, FORK, and growth
// that no event tells. Its region table follows; whatever was under way for the old places is dropped, and
// who sleeps there is woken to ask again.

extension Reader {
  /// Applies an event other than REMOVE.
  @inline(never)
  mutating func changeLayout(_ message: UffdMessage) {
    switch message.event {
    case UffdMessage.unmap:
      let (start, end) = (message.rangeStart, message.rangeEnd)
      unmap(start, end)
      // munmap wakes nobody: a thread that sleeps on the range has to find out (SIGSEGV).
      calls.wake(start, length: end - start)
    case UffdMessage.remap: move(message.remapFrom, message.remapTo, message.remapLength)
    case UffdMessage.fork: fork(message.forkDescriptor)
    default: reporter.unknownEvent(message.event)
    }
  }

  private mutating func unmap(_ start: UInt64, _ end: UInt64) {
    guard start < end else { return }
    // Of this process the regions belong to others: they are marked, not cut.
    if unsafe session == local { return discard(from: start, to: end) }
    cut(start..<end, onlyGrown: false)
    unsafe session.pointee.client?._withUnsafeGuaranteedRef { $0.strangers.leave(start..<end) }
  }

  /// Takes what lies in `range` out of every region, or of those alone that grew and were never handed
  /// over. What is left of a region goes on.
  mutating func cut(_ range: Range<UInt64>, onlyGrown: Bool) {
    for place in regions(meeting: range) {
      let region = unsafe place.region
      if unsafe onlyGrown && !region.pointee.shape.readsZero { continue }
      let count = unsafe region.pointee.states.count
      let first =
        unsafe range.lowerBound <= region.pointee.start
        ? 0 : region.page(of: range.lowerBound)
      let last =
        unsafe range.upperBound >= region.end
        ? count : region.page(of: range.upperBound - 1) + 1
      unsafe retire(region)
      if first > 0 { unsafe insertPart(of: region, 0..<first, at: region.pointee.start) }
      if last < count {
        unsafe insertPart(of: region, last..<count, at: region.address(of: last))
      }
      unsafe free(region)
    }
  }

  /// Takes a region off the table and drops every question about it.
  private mutating func retire(_ region: UnsafeMutablePointer<RegionRecord>) {
    unsafe session.pointee.table.remove(region.pointee.id)
    unsafe forget(region.pointee.id)
    unsafe calls.wake(region.pointee.start, length: region.pointee.length)
  }

  /// A part of a region as a region of its own, at `start`; the pages keep their states.
  private func insertPart(
    of region: UnsafeMutablePointer<RegionRecord>, _ pages: Range<UInt64>, at start: UInt64
  ) {
    unsafe session.pointee.table.insert(
      makeRecord(
        session: session, start: start, length: UInt64(pages.count) << region.pointee.granuleShift,
        instance, firstPgoff: region.pointee.firstPgoff + pages.lowerBound, region.pointee.shape,
        backing: region.pointee.backing, region.pointee.stateMemory!.takeUnretainedValue(),
        PageStates(region.pointee.states, pages)))
  }

  /// Of the session that is attended to, a client's.
  private var instance: Instance {
    unsafe session.pointee.client!._withUnsafeGuaranteedRef { $0.instance }
  }

  /// mremap(2): [from, from + length) is at `to` now. The old place may still be there (MREMAP_DONTUNMAP):
  /// it is empty then, and reads zero; else an UNMAP of it follows.
  private mutating func move(_ from: UInt64, _ to: UInt64, _ length: UInt64) {
    guard unsafe session != local else { return }
    if length == 0 { return duplicate(from, to) }
    let (end, overflow) = from.addingReportingOverflow(length)
    guard !overflow, to &+ length > to else { return }
    cut(to..<(to + length), onlyGrown: true)
    unsafe session.pointee.client?._withUnsafeGuaranteedRef {
      $0.strangers.take(to..<(to + length))
    }
    for place in regions(meeting: from..<end) {
      let region = unsafe place.region
      let count = unsafe region.pointee.states.count
      let first = unsafe from <= region.pointee.start ? 0 : region.page(of: from)
      let last = unsafe end >= region.end ? count : region.page(of: end - 1) + 1
      let old = unsafe region.address(of: first)
      unsafe retire(region)
      if first > 0 { unsafe insertPart(of: region, 0..<first, at: region.pointee.start) }
      if last < count {
        unsafe insertPart(of: region, last..<count, at: region.address(of: last))
      }
      // Before Linux 6.15 a move that shrinks told its old length, which may reach into another region.
      let place = old - from + to
      let room = unsafe (session.pointee.table.above(place)?.pointee.start ?? UInt64.max) - place
      let kept = unsafe min(last - first, room >> region.pointee.granuleShift)
      unsafe insertPart(of: region, first..<(first + kept), at: place)
      unsafe insertLeft(by: region, first..<last, at: old)
      unsafe free(region)
    }
  }

  /// mremap(2) of no length makes a second mapping of shared memory; how long it is nobody says.
  private mutating func duplicate(_ from: UInt64, _ to: UInt64) {
    guard let region = unsafe session.pointee.table.find(from), unsafe isOfFile(region),
      unsafe session.pointee.table.find(to) == nil
    else { return }
    let page = unsafe region.page(of: from)
    let room = unsafe (session.pointee.table.above(to)?.pointee.start ?? UInt64.max) - to
    let pages = unsafe min(region.pointee.states.count - page, room / region.pointee.granule)
    if pages > 0 {
      unsafe insertFresh(
        like: region, at: to, pages, firstPgoff: region.pointee.firstPgoff + page)
    }
  }

  /// Listed before anything is changed.
  private func regions(meeting range: Range<UInt64>) -> [RecordPointer] {
    var found: [RecordPointer] = []
    for index in unsafe 0..<session.pointee.table.count {
      let region = unsafe session.pointee.table.regions[index]
      if unsafe region.pointee.start < range.upperBound,
        unsafe range.lowerBound < region.end
      {
        unsafe found.append(RecordPointer(region: region))
      }
    }
    return found
  }

  /// The place that pages were moved away from. Anonymous memory is empty there now; a file is what it was,
  /// so that its content has to be mapped, or filled, once more.
  private func insertLeft(
    by region: UnsafeMutablePointer<RegionRecord>, _ pages: Range<UInt64>, at start: UInt64
  ) {
    let firstPgoff = unsafe region.pointee.firstPgoff + pages.lowerBound
    unsafe isOfFile(region)
      ? insertFresh(like: region, at: start, UInt64(pages.count), firstPgoff: firstPgoff)
      : insertEmpty(like: region, at: start, pages: UInt64(pages.count))
  }

  private func isOfFile(_ region: UnsafeMutablePointer<RegionRecord>) -> Bool {
    unsafe region.pointee.backing != nil || region.pointee.shape.shared
  }

  /// Pages like those of a region, none of which is mapped yet.
  private func insertFresh(
    like region: UnsafeMutablePointer<RegionRecord>, at start: UInt64, _ pages: UInt64,
    firstPgoff: UInt64
  ) {
    guard let memory = try? Mapping.table(PageStates.bytes(for: pages)) else { return }
    unsafe session.pointee.table.insert(
      makeRecord(
        session: session, start: start, length: pages << region.pointee.granuleShift, instance,
        firstPgoff: firstPgoff, region.pointee.shape, backing: region.pointee.backing, memory,
        PageStates(memory.base, count: pages)))
  }

  /// Memory that nobody handed over content for: whoever faults there gets zeroes.
  private func insertEmpty(
    like region: UnsafeMutablePointer<RegionRecord>, at start: UInt64, pages: UInt64
  ) {
    guard let memory = try? Mapping.table(PageStates.bytes(for: pages)) else { return }
    var shape = unsafe region.pointee.shape
    shape.readsZero = true
    unsafe session.pointee.table.insert(
      makeRecord(
        session: session, start: start, length: pages << region.pointee.granuleShift, instance,
        firstPgoff: 0, shape, backing: nil, memory, PageStates(memory.base, count: pages)))
  }

  /// A fault where a region was: it is older than the unmapping, or the client has mapped other memory
  /// there and will say which. Nothing may be installed before it does. Nil: no region was there; false: it
  /// asks again at once.
  private mutating func awaitsHandOff(_ client: Client, _ page: UInt64) -> Bool? {
    guard client.strangers.wasLeft(page) else { return nil }
    let isWaiting = client.strangers.await(page, monotonicNanoseconds())
    if let next = client.strangers.next { nextCare = min(nextCare, next) }
    return isWaiting
  }

  /// Poisons a page that nobody knows content for; whoever touches it asks again where the kernel puts that
  /// off.
  func refuse(_ page: UInt64, _ client: UInt64) -> UnsafeMutablePointer<RegionRecord>? {
    reporter.strangeFault(client, page)
    if !canPoison {
      unsafe session.pointee.client?._withUnsafeGuaranteedRef { _ = $0.kill(reporter) }
    } else if !calls.poison(page, length: 4096).succeeded {
      calls.wake(page, length: 4096)
    }
    return nil
  }

  /// A fault in no region. In this process: its region was detached. Of a client: a mapping that grew
  /// behind a region (mremap(2) tells nobody when it grows in place), or memory that it never handed over.
  @inline(never)
  mutating func stranger(_ address: UInt64) -> UnsafeMutablePointer<RegionRecord>? {
    let page = address & ~4095
    guard unsafe session != local, let client = unsafe session.pointee.client else {
      calls.wake(page, length: 4096)
      return nil
    }
    let id = unsafe client._withUnsafeGuaranteedRef { $0.id }
    if let isWaiting = unsafe client._withUnsafeGuaranteedRef({ awaitsHandOff($0, page) }) {
      if !isWaiting { calls.wake(page, length: 4096) }
      return nil
    }
    guard let below = unsafe session.pointee.table.below(address) else {
      return unsafe refuse(page, id)
    }
    reporter.grew(id, address)
    // A piece at a time: how far it grew nobody says.
    let start = unsafe below.end
    let shift = unsafe below.pointee.granuleShift
    let above = unsafe session.pointee.table.above(address)?.pointee.start ?? UInt64.max
    let granule: UInt64 = 1 << shift
    let wanted = max((address - start) / granule + 1, (64 << 20) / granule)
    let length = min(wanted, (above - start) / granule) * granule
    guard address < start + length else {
      calls.wake(page, length: 4096)
      return nil
    }
    guard unsafe isOfFile(below) else {
      unsafe insertEmpty(like: below, at: start, pages: length / granule)
      return unsafe session.pointee.table.find(address)
    }
    // More of a file is more of the object, as far as there is any.
    let firstPgoff = unsafe below.pgoffs.upperBound
    let limit =
      unsafe below.pointee.backing?.pointee.states.count ?? below.pointee.instance.pointee.count
    let pages = min(length / granule, limit - min(limit, firstPgoff))
    if pages > 0 { unsafe insertFresh(like: below, at: start, pages, firstPgoff: firstPgoff) }
    return unsafe session.pointee.table.find(address) ?? refuse(page, id)
  }
}

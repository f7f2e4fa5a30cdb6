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
    let gone = regions(meeting: range).filter {
      unsafe !onlyGrown || $0.region.pointee.shape.readsZero
    }
    retire(gone)
    for place in gone {
      let region = unsafe place.region
      let count = unsafe region.pointee.states.count
      let first =
        unsafe range.lowerBound <= region.pointee.start
        ? 0 : region.page(of: range.lowerBound)
      let last =
        unsafe range.upperBound >= region.end
        ? count : region.page(of: range.upperBound - 1) + 1
      if first > 0 { unsafe insertPart(of: region, 0..<first, at: region.pointee.start) }
      if last < count {
        unsafe insertPart(of: region, last..<count, at: region.address(of: last))
      }
      unsafe free(region)
    }
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
    let moved = regions(meeting: from..<end)
    retire(moved)
    for place in moved {
      let region = unsafe place.region
      let count = unsafe region.pointee.states.count
      let first = unsafe from <= region.pointee.start ? 0 : region.page(of: from)
      let last = unsafe end >= region.end ? count : region.page(of: end - 1) + 1
      let old = unsafe region.address(of: first)
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
  func regions(meeting range: Range<UInt64>) -> [RecordPointer] {
    unsafe session.pointee.table.places(meeting: range).map { place in
      unsafe RecordPointer(region: session.pointee.table.regions[place])
    }
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

  /// A fault in memory that is no region: the client may say any moment what it is. Nothing may be installed
  /// before it does.
  private mutating func awaitHandOff(_ client: Client, _ page: UInt64) {
    if client.strangers.await(page, monotonicNanoseconds()) {
      if let next = client.strangers.next { nextCare = min(nextCare, next) }
    } else {
      calls.wake(page, length: 4096)
    }
  }

  /// Whether a page of what grew into `range` may read zero: it was mapped, or given back, which does not tell
  /// whether it was mapped again.
  func showsZeroes(_ range: Range<UInt64>) -> Bool {
    regions(meeting: range).contains { place in
      let region = unsafe place.region
      guard unsafe region.pointee.shape.readsZero else { return false }
      let first = unsafe region.page(of: max(range.lowerBound, region.pointee.start))
      let last = unsafe region.page(of: min(range.upperBound, region.end) - 1)
      return (first...last).contains { unsafe region.pointee.states.region($0) != .unmapped }
    }
  }

  /// Poisons a page that nobody knows content for; whoever touches it asks again where the kernel puts that
  /// off.
  func refuse(_ page: UInt64, _ client: UInt64) -> UnsafeMutablePointer<RegionRecord>? {
    reporter.strangeFault(client, page)
    // How large its pages are nobody has said: of a huge page POISON of a part is refused (EINVAL).
    let sizes: [UInt64] = canPoison ? [4096, 2 << 20, 1 << 30] : []
    for size in sizes {
      let result = calls.poison(page & ~(size - 1), length: size)
      if result.error == Errno.EINVAL.rawValue { continue }
      if !result.succeeded { calls.wake(page, length: 4096) }
      return nil
    }
    unsafe session.pointee.client?._withUnsafeGuaranteedRef { _ = $0.kill(reporter) }
    return nil
  }

  /// How far a region's mapping goes on behind it without a gap, in bytes: over `page` at least, and over half
  /// of the rest or 64 MiB. How far exactly nobody says. Nil: `page` is no part of it.
  private func growth(
    of region: UnsafeMutablePointer<RegionRecord>, over page: UInt64
  ) -> UInt64? {
    let start = unsafe region.end
    let granule = unsafe region.pointee.granule
    let least = (page - start) / granule * granule + granule
    let above = unsafe session.pointee.table.above(page)?.pointee.start ?? UInt64.max
    guard least <= above - start else { return nil }
    let behind = unsafe start - region.pointee.pageSize
    var length = max(least, min(64 << 20, (above - start) / granule * granule))
    while true {
      if calls.isOneMapping(behind, length: start - behind + length) { return length }
      if length == least { return nil }
      length = max(least, length / 2 / granule * granule)
    }
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
    // Of memory that was unmapped the fault is older than that, or other memory is there now.
    guard unsafe client._withUnsafeGuaranteedRef({ !$0.strangers.wasLeft(page) }),
      let below = unsafe session.pointee.table.below(address),
      let length = unsafe growth(of: below, over: page)
    else {
      unsafe client._withUnsafeGuaranteedRef { awaitHandOff($0, page) }
      return nil
    }
    let id = unsafe client._withUnsafeGuaranteedRef { $0.id }
    reporter.grew(id, address)
    let start = unsafe below.end
    let granule = unsafe below.pointee.granule
    guard unsafe isOfFile(below) else {
      unsafe insertEmpty(like: below, at: start, pages: length / granule)
      return unsafe session.pointee.table.find(address) ?? refuse(page, id)
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

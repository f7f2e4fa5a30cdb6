// SPDX-License-Identifier: Apache-2.0
// Pages that are in the page cache already, and pages that must read zero.
import UffdPluginABI

extension Reader {
  /// A minor fault: does the provider's filemap hold these pages? Then CONTINUE.
  mutating func lookUp(_ question: UnsafeMutablePointer<Question>) {
    let instance = unsafe question.pointee.instance!
    if unsafe instance.isBroken { return unsafe giveUp(question, .brokenProvider) }
    guard let lookup = unsafe instance.pointee.lookup,
      unsafe question.pointee.backing?.pointee.isForeign == false
    else { return unsafe mapCached(question) }
    unsafe question.pointee.purpose = .lookUp
    guard unsafe instance.pointee.isDirect else {
      if unsafe question.pointee.count > 1, let rest = unsafe split(question, at: 1) {
        unsafe work(rest)
      }
      return unsafe hand(question)
    }
    var held: UInt64 = 0
    var status = uffd_status.ok
    while unsafe held < question.pointee.count {
      status = unsafe lookup(
        instance.pointee.handle, question.pointee.pgoff + held, questions.ticket(question))
      if status != .ok { break }
      held += 1
    }
    if unsafe held == question.pointee.count { return unsafe mapCached(question) }
    if held > 0, let rest = unsafe split(question, at: held) {
      unsafe mapCached(question)
      unsafe rest.pointee.purpose = .lookUp
      return unsafe lookedUp(rest, status)
    }
    unsafe lookedUp(question, status)
  }

  /// A page that the backing has and the provider does not know is asked for so often before that counts.
  private static var mostAbsences: UInt32 { 3 }

  /// What get_folio_noalloc answered for the first page of the question.
  mutating func lookedUp(_ question: UnsafeMutablePointer<Question>, _ status: uffd_status) {
    if status != .ok, unsafe question.takesAlong { return unsafe shed(question) }
    switch status {
    case .ok: unsafe mapCached(question)
    case .busy: unsafe park(question, .provider)
    case .absent:
      // Our own backing: we published the page, so the provider has accounted it and lost it. A backing
      // that arrived filled, or a provider without a filemap: it does not vouch for the page.
      let isAccounted =
        unsafe question.pointee.instance!.pointee.filemapAdd != nil
        && question.pointee.region?.pointee.shape.arrivesFilled == false
      // Unless it was told of a hole after we had decided to ask: then it was right, or will be.
      if isAccounted, unsafe question.pointee.absences < Self.mostAbsences {
        unsafe question.pointee.absences += 1
        return unsafe work(question)
      }
      unsafe isAccounted ? broken(question, .lostFolio) : giveUp(question, .notInFilemap)
    case .outOfRange, .gone:
      counters.add(.providerErrors)
      unsafe giveUp(question, .provider("get_folio_noalloc", status))
    default: unsafe broken(question, .unknownLookupStatus)
    }
  }

  /// CONTINUE. A page that is not in the cache any more was punched; right after an EEXIST of COPY, on
  /// hugetlb, it is not there because the pool is empty.
  mutating func mapCached(
    _ question: UnsafeMutablePointer<Question>, afterExists: Bool = false
  ) {
    guard let region = unsafe question.pointee.region else { return unsafe end(question) }
    let granule = unsafe region.pointee.granule
    let first = unsafe question.pointee.pgoff - region.pointee.firstPgoff
    let start = unsafe region.address(of: first)
    let length = unsafe question.pointee.count * granule
    var offset: UInt64 = 0
    var piece = length
    var stop: InstallStep?
    exclusion.beginInstall()
    while offset < length, stop == nil {
      let wanted = unsafe standing(question, region, from: offset / granule)
      if wanted == 0 { break }
      let size = min(piece, wanted * granule - offset % granule)
      let result = calls.continue(start + offset, length: size)
      let context = unsafe InstallContext(
        hugetlb: region.pointee.isHugetlb, shared: region.pointee.shape.shared,
        singlePage: size == region.pointee.pageSize)
      if result.succeeded {
        counters.add(.continued, size)
        offset += size
        continue
      }
      switch nextStep(after: .continue, error: result.error, done: result.done, context) {
      case .advance:
        counters.add(.continued, UInt64(result.done))
        offset += UInt64(result.done)
      case .split: piece = unsafe region.pointee.pageSize
      case .present:
        unsafe calls.wake(start + offset, length: region.pointee.pageSize)
        counters.add(.alreadyPresent)
        unsafe offset += region.pointee.pageSize
      case .notCached where unsafe afterExists && region.pointee.isHugetlb: stop = .noMemory
      case let step: stop = step
      }
    }
    let settled = offset / granule
    unsafe markMapped(region, first, settled)
    exclusion.endInstall()
    unsafe counters.add(
      .around, question.unwanted(before: question.pointee.pgoff + settled))
    if unsafe settled == question.pointee.count { return unsafe end(question) }
    var rest = unsafe question
    if settled > 0 {
      guard let other = unsafe split(question, at: settled) else { return unsafe end(question) }
      unsafe end(question)
      unsafe rest = unsafe other
    }
    switch stop {
    case nil: unsafe work(rest)
    case .notCached: unsafe punched(rest)
    case let step?: unsafe stopped(rest, step, sourceIsForeign: false)
    }
  }

  /// How many pages of the question from the `index`th on may be continued: private memory that was
  /// discarded, and poisoned memory, may not.
  @inline(__always)
  private mutating func standing(
    _ question: UnsafeMutablePointer<Question>, _ region: UnsafeMutablePointer<RegionRecord>,
    from index: UInt64
  ) -> UInt64 {
    let first = unsafe question.pointee.pgoff - region.pointee.firstPgoff
    var next = index
    while unsafe next < question.pointee.count {
      let state = unsafe region.pointee.states.region(first + next)
      if unsafe state == .poisoned || (state == .discarded && !region.pointee.shape.shared) {
        break
      }
      if state != .unmapped, unsafe !question.isWanted(next) { break }
      next += 1
    }
    return next - index
  }

  private mutating func markMapped(
    _ region: UnsafeMutablePointer<RegionRecord>, _ first: UInt64, _ count: UInt64
  ) {
    unsafe region.pointee.states.set(first..<(first + count), .mapped)
  }

  /// The first page was published and is gone from the cache: a client punched it. It reads zero from now
  /// on.
  @inline(never)
  private mutating func punched(_ question: UnsafeMutablePointer<Question>) {
    if unsafe question.takesAlong { return unsafe shed(question) }
    guard let backing = unsafe question.pointee.backing,
      unsafe question.pointee.region?.pointee.shape.arrivesFilled == false
    else {
      // A backing that is not ours to account: look again as missing. What lies behind the hole may well
      // be in the file.
      let rest = unsafe question.pointee.count > 1 ? split(question, at: 1) : nil
      unsafe question.pointee.kind = .missing
      unsafe park(question, .kernel)
      if let rest = unsafe rest { unsafe work(rest) }
      return
    }
    unsafe question.pointee.kind = .missing
    let rest = unsafe question.pointee.count > 1 ? split(question, at: 1) : nil
    let pgoff = unsafe question.pointee.pgoff
    if unsafe backing.pointee.isForeign {
      // Not claimed: see `zero`.
      _ = unsafe backing.pointee.states.replace(pgoff, .present, with: .punched)
      unsafe work(question)
      if let rest = unsafe rest { unsafe work(rest) }
      return
    }
    // Claimed while the provider is told, so that nobody accounts the page anew before it has forgotten it.
    if unsafe backing.pointee.states.replace(pgoff, .present, with: .filling) {
      unsafe question.pointee.claimed = true
      unsafe question.pointee.claimedFrom = .punched
      let instance = unsafe question.pointee.instance!
      if let discard = unsafe instance.pointee.discard {
        if unsafe instance.pointee.isDirect {
          unsafe discard(instance.pointee.handle, pgoff, 1)
        } else {
          unsafe instance.submit(.discard(instance, pgoff: pgoff, count: 1), .undo)
        }
      }
      if unsafe question.pointee.region!.pointee.shape.shared {
        unsafe zero(question)
      } else {
        unsafe unclaim(question)
        unsafe work(question)
      }
    } else {
      unsafe work(question)
    }
    if let rest = unsafe rest { unsafe work(rest) }
  }

  /// A page in the cache that nobody published is no content: punch it, and fill it as missing. Claimed
  /// meanwhile, or the punch could hit what another reader publishes.
  @inline(never)
  mutating func evict(_ question: UnsafeMutablePointer<Question>) {
    if unsafe question.takesAlong { return unsafe shed(question) }
    guard let backing = unsafe question.pointee.backing else {
      return unsafe giveUp(question, .hostBug)
    }
    unsafe question.pointee.kind = .missing
    guard unsafe claim(question, from: .absent) else { return }
    unsafe reporter.strayPage(question.pointee.instance!, question.pointee.pgoff)
    let granule = unsafe backing.pointee.granule
    unsafe backing.pointee.file._withUnsafeGuaranteedRef {
      unsafe $0.punch(question.pointee.pgoff * granule, length: question.pointee.count * granule)
    }
    unsafe retryLater(question, .memory)
  }

  /// Zeroes, for what the client gave back and for holes. Into a shared backing they are published like
  /// content, and accounted like it; else they go to the mapping alone.
  ///
  /// A hole of a client's file is claimed by nobody. Content may be on its way that was asked for before the
  /// hole was made: its install finds that the page is not being filled any more. Were it being filled with zeroes
  /// in that moment, the install would take that for its own claim. Two that zero one page do the same.
  mutating func zero(_ question: UnsafeMutablePointer<Question>) {
    guard let region = unsafe question.pointee.region else { return unsafe end(question) }
    guard unsafe ensureBuffers(region.pointee.granule) else {
      return unsafe retryLater(question, .memory)
    }
    unsafe question.pointee.isZero = true
    unsafe question.pointee.accountStatus = .ok
    if unsafe region.pointee.shape.shared, unsafe publishes(question),
      unsafe !question.pointee.claimed
    {
      let page = unsafe question.pointee.pgoff - region.pointee.firstPgoff
      let state =
        unsafe region.backingState(page) == .punched ? BackingPage.punched : .absent
      let isLoose = unsafe state == .punched && question.pointee.backing?.pointee.isForeign == true
      if !isLoose, unsafe !claim(question, from: state) { return }
    }
    unsafe installZeroes(question)
  }

  /// Content that is known to be zero: like `fill`, and nobody is asked.
  mutating func fillZero(_ question: UnsafeMutablePointer<Question>) {
    unsafe question.pointee.isZero = false
    unsafe question.pointee.accountStatus = .ok
    if unsafe question.pointee.instance!.isBroken {
      return unsafe giveUp(question, .brokenProvider)
    }
    if unsafe publishes(question), unsafe !claim(question, from: .absent) { return }
    unsafe counters.add(
      .knownZero, question.pointee.count * question.pointee.instance!.pointee.granule)
    unsafe installZeroes(question)
  }

  private mutating func installZeroes(_ question: UnsafeMutablePointer<Question>) {
    let instance = unsafe question.pointee.instance!
    var folio = unsafe emptyFolio()
    unsafe folio.kind = .zero
    unsafe folio.count = unsafe question.pointee.count
    unsafe question.pointee.folio = unsafe folio
    if unsafe question.pointee.claimed, unsafe filemapAdd(question) != nil,
      unsafe !instance.pointee.isDirect
    {
      unsafe question.pointee.purpose = .account
      return unsafe hand(question)
    }
    unsafe account(question, false)
  }
}

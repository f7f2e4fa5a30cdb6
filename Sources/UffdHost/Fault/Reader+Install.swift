// SPDX-License-Identifier: Apache-2.0
// The moment a client can see a page. State is checked, the call is made and the state is written while
// reading the uffd is excluded: see Exclusion.swift.
import UffdPluginABI

/// How far an install came: bytes from the start that are settled, and why it stopped, if it did.
@safe struct InstallProgress {
  var settled: UInt64
  /// Bytes of them that were there before.
  var present: UInt64 = 0
  var step: InstallStep?
  var installed: UInt64 { settled - present }
}

extension Reader {
  /// Installs the content that the question holds, then settles or goes on with what is left.
  mutating func install(_ question: UnsafeMutablePointer<Question>) {
    let shift = unsafe question.pointee.instance!.pointee.granuleShift
    let folio = unsafe question.pointee.folio
    if unsafe folio.kind == .zero, !ensureBuffers(1 << shift) {
      unsafe unaccount(question, from: 0)
      unsafe putBack(question)
      return unsafe retryLater(question, .memory)
    }
    let source: UnsafeRawPointer?
    switch unsafe folio.kind {
    case .lent: unsafe source = unsafe folio.memory
    case .staged:
      unsafe source =
        unsafe folio.memory ?? UnsafeRawPointer(question.pointee.staging ?? staging.base)
    default: unsafe source = nil
    }
    exclusion.beginInstall()
    // The hook ran without any lock: what the client discarded meanwhile must not get old content.
    let length = unsafe stillWanted(question) << shift
    let progress =
      unsafe length == 0
      ? InstallProgress(settled: 0, step: nil) : place(question, source, length)
    let settled = progress.settled >> shift
    unsafe counters.add(
      .around, question.unwanted(before: question.pointee.pgoff + settled))
    if unsafe question.pointee.claimed {
      let pgoff = unsafe question.pointee.pgoff
      unsafe question.pointee.backing!.pointee.states.replace(
        pgoff..<(pgoff + settled), .filling, with: .present)
    } else if unsafe question.pointee.isZero, unsafe publishes(question),
      let backing = unsafe question.pointee.backing,
      unsafe question.pointee.region?.pointee.shape.shared == true
    {
      // A hole of a client's file, which was not claimed for this.
      let pgoff = unsafe question.pointee.pgoff
      unsafe backing.pointee.states.replace(
        pgoff..<(pgoff + settled), .punched, with: .present)
    }
    exclusion.endInstall()

    if settled > 0, unsafe question.pointee.claimed || question.isUnwanted {
      hasPublished = true
    }
    unsafe unaccount(question, from: settled)
    if unsafe question.pointee.claimed {
      unsafe unclaim(question, from: settled)
    }
    let isForeign = unsafe folio.kind == .lent
    unsafe putBack(question)
    if unsafe settled == question.pointee.count { return unsafe end(question) }
    let rest = unsafe settled > 0 ? remainder(question, from: settled) : question
    guard let rest = unsafe rest else { return }
    guard let step = progress.step else {
      // Some pages are not what they were when the provider was asked: judge them again.
      return unsafe work(rest)
    }
    unsafe stopped(rest, step, sourceIsForeign: isForeign)
  }

  /// How many pages from the start are still to be filled with content.
  private mutating func stillWanted(_ question: UnsafeMutablePointer<Question>) -> UInt64 {
    let claimed = unsafe stillClaimed(question)
    guard let region = unsafe question.pointee.region else { return claimed }
    let first = unsafe question.pointee.pgoff - region.pointee.firstPgoff
    var length = unsafe region.pointee.states.run(of: .unmapped, in: first..<(first + claimed))
    while length < claimed {
      let state = unsafe region.pointee.states.region(first + length)
      if unsafe state == .poisoned || (state == .discarded && !question.pointee.isZero) { break }
      if state != .unmapped, unsafe !question.isWanted(length) { break }
      length += 1
    }
    return length
  }

  /// How many of a question's backing pages from the start are still its to fill: a client may have made a hole of
  /// them through another mapping.
  private mutating func stillClaimed(_ question: UnsafeMutablePointer<Question>) -> UInt64 {
    guard unsafe question.pointee.claimed else { return unsafe question.pointee.count }
    return unsafe question.pointee.backing!.pointee.states.run(of: .filling, in: question.pgoffs)
  }

  /// Ends the settled part of a question and returns the rest as one of its own.
  private mutating func remainder(
    _ question: UnsafeMutablePointer<Question>, from settled: UInt64
  ) -> UnsafeMutablePointer<Question>? {
    let rest = unsafe split(question, at: settled)
    unsafe end(question)
    return unsafe rest
  }

  /// Puts content (nil: zeroes) where the region wants it: into the backing through the publisher mapping
  /// and then CONTINUE, or straight to the faulting address.
  private mutating func place(
    _ question: UnsafeMutablePointer<Question>, _ source: UnsafeRawPointer?, _ length: UInt64
  ) -> InstallProgress {
    let isForeign = unsafe question.pointee.folio.kind == .lent
    guard let region = unsafe question.pointee.region else {
      return unsafe publish(
        question.pointee.backing!, question.pointee.pgoff, source, length, isForeign)
    }
    let first = unsafe question.pointee.pgoff - region.pointee.firstPgoff
    let address = unsafe region.address(of: first)
    if unsafe question.pointee.claimed, unsafe !region.pointee.shape.shared {
      let published = unsafe publish(
        question.pointee.backing!, question.pointee.pgoff, source, length, isForeign)
      // What is published is published, whatever becomes of this region: siblings may see it already.
      unsafe mapPublished(region, first, published.settled)
      return published
    }
    let context = unsafe InstallContext(
      hugetlb: region.pointee.isHugetlb, shared: region.pointee.shape.shared,
      singlePage: length == region.pointee.pageSize, sourceIsForeign: isForeign)
    let progress = unsafe put(
      calls, address, source, length, page: region.pointee.pageSize, context,
      overCached: question.pointee.kind == .minor)
    let settled = unsafe progress.settled >> region.pointee.granuleShift
    // A discarded page stays discarded when it was zeroed.
    if unsafe question.pointee.isZero {
      unsafe region.pointee.states.replace(first..<(first + settled), .unmapped, with: .mapped)
    } else {
      unsafe region.pointee.states.set(first..<(first + settled), .mapped)
    }
    unsafe counters.add(source == nil ? .zeroed : .copied, progress.installed)
    return progress
  }

  /// Content enters the backing by COPY into the host's own shared mapping of it.
  private mutating func publish(
    _ backing: UnsafeMutablePointer<BackingRecord>, _ pgoff: UInt64, _ source: UnsafeRawPointer?,
    _ length: UInt64, _ isForeign: Bool
  ) -> InstallProgress {
    let isHugetlb = unsafe backing.pointee.isHugetlb
    let page = unsafe backing.pointee.pageSize
    let context = InstallContext(
      hugetlb: isHugetlb, shared: true, singlePage: length == page, sourceIsForeign: isForeign)
    let progress = unsafe put(
      backing.pointee.publisher, backing.pointee.publisherBase + pgoff * backing.pointee.granule,
      source, length, page: page, context, overCached: false)
    counters.add(.published, progress.installed)
    return progress
  }

  /// CONTINUEs pages that were just published. A page for which that fails stays unmapped; its thread asks
  /// again and finds it in the cache.
  private mutating func mapPublished(
    _ region: UnsafeMutablePointer<RegionRecord>, _ first: UInt64, _ length: UInt64
  ) {
    guard length > 0 else { return }
    let start = unsafe region.address(of: first)
    var offset: UInt64 = 0
    while offset < length {
      let result = calls.continue(start + offset, length: length - offset)
      let done = result.succeeded ? length - offset : result.done > 0 ? UInt64(result.done) : 0
      if done == 0 { break }
      offset += done
    }
    counters.add(.continued, offset)
    let mapped = unsafe offset >> region.pointee.granuleShift
    unsafe region.pointee.states.set(first..<(first + mapped), .mapped)
    if offset < length { calls.wake(start + offset, length: length - offset) }
  }

  /// COPY, or zeroes by whichever call works, over [address, address + length): on through partial success
  /// and pages that are there already, up to the end or to something that the caller must judge.
  mutating func put(
    _ calls: UffdCalls, _ address: UInt64, _ source: UnsafeRawPointer?, _ length: UInt64,
    page: UInt64, _ context: InstallContext, overCached: Bool
  ) -> InstallProgress {
    var context = context
    var offset: UInt64 = 0
    var present: UInt64 = 0
    var piece = length
    // A private mapping of a cached page is shadowed by a COPY; hugetlb has no ZEROPAGE.
    var zeroByCopy = context.hugetlb || overCached
    while offset < length {
      var size = min(piece, length - offset)
      // Zeroes that are copied come from a buffer of ours.
      if unsafe source == nil, zeroByCopy { size = min(size, UInt64(zeroes.length)) }
      context.singlePage = size == page
      let call: InstallCall
      let result: CallResult
      if let source = unsafe source {
        call = .copy
        result = unsafe calls.copy(to: address + offset, from: source + Int(offset), length: size)
      } else if zeroByCopy {
        call = .copy
        context.sourceIsForeign = false
        result = unsafe calls.copy(to: address + offset, from: zeroes.base, length: size)
      } else {
        call = .zero
        result = calls.zero(address + offset, length: size)
      }
      if result.succeeded {
        offset += size
        continue
      }
      switch nextStep(after: call, error: result.error, done: result.done, context) {
      case .advance: offset += UInt64(result.done)
      case .split: piece = page
      case .copyZeroes: zeroByCopy = true
      case .present:
        // hugetlb says EEXIST also when it has no page left; only then nothing is mapped.
        if context.hugetlb, !isPresent(calls, address + offset) {
          calls.wake(address + offset, length: page)
          return InstallProgress(settled: offset, present: present, step: .noMemory)
        }
        calls.wake(address + offset, length: page)
        counters.add(.alreadyPresent)
        offset += page
        present += page
      case let step:
        return InstallProgress(settled: offset, present: present, step: step)
      }
    }
    return InstallProgress(settled: offset, present: present, step: nil)
  }

  /// Goes on with pages that an install call did not settle.
  @inline(never)
  mutating func stopped(
    _ question: UnsafeMutablePointer<Question>, _ step: InstallStep, sourceIsForeign: Bool
  ) {
    if unsafe question.takesAlong, unsafe step != .putOff || !question.mayWait(.kernel) {
      return unsafe shed(question)
    }
    switch step {
    case .putOff: unsafe park(question, .kernel)
    case .mapCached: unsafe foundCached(question)
    case .notCached, .advance, .split, .copyZeroes, .present: unsafe park(question, .kernel)
    case .drop:
      // The publisher mapping is ours: it cannot be gone.
      guard unsafe question.pointee.region != nil else { return unsafe giveUp(question, .hostBug) }
      unsafe notOurs(question)
    case .noMemory: unsafe retryLater(question, .memory)
    case .badSource:
      unsafe reporter.unreadableLend(question.pointee.instance!, question.pointee.pgoff)
      counters.add(.providerErrors)
      unsafe giveUpFirst(question, .badSource)
    case .badMemory: unsafe giveUpFirst(question, .badMemory)
    case .hostBug: unsafe giveUpFirst(question, .hostBug)
    case .clientGone:
      unsafe session.pointee.isSuspect = true
      unsafe end(question)
    case .cannotPoison: unsafe killClient(question)
    }
  }

  /// The first page is unmapped, or beyond the end of its file: whoever sleeps there has to find out. A
  /// fill settles it, for nothing will ever be there: a client without EVENT_UNMAP has put other memory
  /// into its place.
  private mutating func notOurs(_ question: UnsafeMutablePointer<Question>) {
    guard unsafe question.pointee.order != nil, let region = unsafe question.pointee.region else {
      unsafe wake(question.pointee.region, question.pointee.pgoff, question.pointee.count)
      return unsafe end(question)
    }
    let rest = unsafe question.pointee.count > 1 ? split(question, at: 1) : nil
    let page = unsafe question.pointee.pgoff - region.pointee.firstPgoff
    if unsafe region.pointee.states.region(page) == .unmapped {
      unsafe region.pointee.states.set(page, RegionPage.discarded)
    }
    unsafe wake(region, question.pointee.pgoff, 1)
    unsafe end(question)
    if let rest = unsafe rest { unsafe work(rest) }
  }

  /// COPY found the page in the cache though nobody published it: not content of ours.
  private mutating func foundCached(_ question: UnsafeMutablePointer<Question>) {
    let shape = unsafe question.pointee.region?.pointee.shape
    if shape?.arrivesFilled == true { return unsafe mapCached(question, afterExists: true) }
    guard let backing = unsafe question.pointee.backing else {
      // Shared memory of a client whose file we do not have, watched for missing pages alone: what its
      // cache holds the kernel maps without asking us.
      unsafe wake(question.pointee.region, question.pointee.pgoff, question.pointee.count)
      return unsafe end(question)
    }
    // On hugetlb this is how COPY says that the pool is empty.
    if unsafe backing.pointee.isHugetlb { return unsafe retryLater(question, .memory) }
    switch shape?.strays ?? .evicted {
    case .evicted: unsafe evict(question)
    case .areContent:
      unsafe unclaim(question)
      unsafe mapCached(question)
    case .refused:
      // A hole that another reader has zeroed is no stray page.
      if unsafe question.pointee.isZero, unsafe isPublished(question) {
        return unsafe work(question)
      }
      unsafe giveUpFirst(question, .stray)
    }
  }

  /// Whether the question's first page is published, also where another reader is about to note it: it has when
  /// it lets others read.
  private mutating func isPublished(_ question: UnsafeMutablePointer<Question>) -> Bool {
    exclusion.beginReading()
    defer { exclusion.endReading() }
    return unsafe question.pointee.backing?.pointee.states.backing(question.pointee.pgoff)
      == .present
  }

  /// Whether something is mapped at an address of hugetlb memory where COPY said EEXIST. The page map of a
  /// client is not ours to read: there the tries run out, and POISON tells (`Reader+GiveUp`).
  @inline(never)
  private mutating func isPresent(_ calls: UffdCalls, _ address: UInt64) -> Bool {
    let isForeign = unsafe calls.fd == session.pointee.calls.fd && !session.pointee.isOwnProcess
    return !isForeign && isMapped(address) == true
  }

  /// Gives the first page up and goes on with the others: the failure is that page's alone.
  private mutating func giveUpFirst(
    _ question: UnsafeMutablePointer<Question>, _ reason: GivingUp
  ) {
    let rest = unsafe question.pointee.count > 1 ? split(question, at: 1) : nil
    unsafe giveUp(question, reason)
    if let rest = unsafe rest { unsafe work(rest) }
  }
}

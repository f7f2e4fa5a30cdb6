// SPDX-License-Identifier: Apache-2.0
// Getting content: ask the provider, check its answer, account it, publish it, take everything back that
// did not reach its place. No lock is held while a hook runs.
import UffdPluginABI

extension Reader {
  /// Fills the question's pages, which are all missing and nobody's yet.
  mutating func fill(_ question: UnsafeMutablePointer<Question>) {
    let instance = unsafe question.pointee.instance!
    unsafe question.pointee.isZero = false
    unsafe question.pointee.accountStatus = .ok
    if unsafe instance.isBroken { return unsafe giveUp(question, .brokenProvider) }
    guard unsafe instance.pointee.alloc != nil else {
      // A declared backing with a hole, and nobody to fill it.
      return unsafe instance.pointee.holeIsZero ? zero(question) : giveUp(question, .hole)
    }
    if unsafe isFetched(question) { return unsafe park(question, .published) }
    if unsafe publishes(question), unsafe !claim(question, from: .absent) { return }
    unsafe question.pointee.purpose = .fill
    let rest = unsafe splitAtWarmBorder(question)
    unsafe instance.pointee.isInline ? askHere(question) : hand(question)
    if let rest = unsafe rest { unsafe work(rest) }
  }

  /// Lent memory is made resident in pieces of 2 MiB of content: a question stays inside one.
  private mutating func splitAtWarmBorder(
    _ question: UnsafeMutablePointer<Question>
  ) -> UnsafeMutablePointer<Question>? {
    let instance = unsafe question.pointee.instance!
    guard unsafe instance.pointee.lends else { return nil }
    let granules = unsafe instance.pointee.warmGranules
    let room = unsafe granules - question.pointee.pgoff & (granules - 1)
    guard unsafe question.pointee.count > room else { return nil }
    unsafe unclaim(question, from: room)
    return unsafe split(question, at: room)
  }

  /// Whether the content goes through the backing's page states (our own backing, filled by us).
  @inline(__always)
  mutating func publishes(_ question: UnsafeMutablePointer<Question>) -> Bool {
    guard let region = unsafe question.pointee.region else { return true }
    return unsafe region.pointee.shape.fillsBacking && !region.pointee.shape.arrivesFilled
  }

  /// Claims the pages, each of which is filled by one question at a time. Pages that somebody else has
  /// claimed wait in a question of their own. False: all of them do.
  mutating func claim(_ question: UnsafeMutablePointer<Question>, from state: BackingPage) -> Bool {
    let states = unsafe question.pointee.backing!.pointee.states
    var count: UInt64 = 0
    while unsafe count < question.pointee.count,
      unsafe states.replace(question.pointee.pgoff + count, state, with: .filling)
    {
      count += 1
    }
    if count == 0 {
      unsafe awaitOther(question)
      return false
    }
    if unsafe count < question.pointee.count, let rest = unsafe split(question, at: count) {
      unsafe awaitOther(rest)
    }
    unsafe question.pointee.claimed = true
    unsafe question.pointee.claimedFrom = state
    return true
  }

  /// Gives back the claim on pages that were not published.
  mutating func unclaim(_ question: UnsafeMutablePointer<Question>, from offset: UInt64 = 0) {
    guard unsafe question.pointee.claimed else { return }
    let pgoffs = unsafe question.pgoffs
    unsafe question.pointee.backing!.pointee.states.replace(
      (pgoffs.lowerBound + offset)..<pgoffs.upperBound, .filling, with: question.pointee.claimedFrom
    )
    unsafe question.pointee.claimed = offset > 0
  }

  /// Asks on this thread: the provider has promised to answer promptly.
  mutating func askHere(_ question: UnsafeMutablePointer<Question>) {
    let instance = unsafe question.pointee.instance!
    let granule = unsafe instance.pointee.granule
    let length = unsafe question.pointee.count * granule
    guard ensureBuffers(length) else { return unsafe retryLater(question, .memory) }
    let asked = beginSample()
    unsafe question.pointee.folio = unsafe emptyFolio()
    var request = unsafe folioRequest(
      pgoff: question.pointee.pgoff, count: question.pointee.count, granule: granule,
      access: question.pointee.access, ticket: questions.ticket(question), staging: staging.base,
      stagingLength: UInt64(staging.length))
    let status = unsafe instance.pointee.alloc!(
      instance.pointee.contentHandle, &request, question.pointer(to: \.folio)!)
    if asked != 0 {
      counters.add(.samples)
      counters.add(.providerNanoseconds, monotonicNanoseconds() - asked)
    }
    // What comes with any other status is no answer.
    if status != .ok { unsafe question.pointee.folio = unsafe emptyFolio() }
    unsafe conclude(question, status, staging.base, asked != 0)
  }

  /// Judges an answer and installs what it brought. `buffer` is the staging that the request offered.
  mutating func conclude(
    _ question: UnsafeMutablePointer<Question>, _ status: uffd_status,
    _ buffer: UnsafeMutableRawPointer, _ isSampled: Bool
  ) {
    let instance = unsafe question.pointee.instance!
    guard status == .ok else {
      unsafe putBack(question)
      return unsafe failed(question, status)
    }
    let violation = unsafe checkFolio(
      question.pointee.folio, count: question.pointee.count, granule: instance.pointee.granule,
      staging: buffer, lends: instance.pointee.lends,
      stagingSize: { memory in unsafe instance.stagingSize(of: memory) })
    if let violation { return unsafe broken(question, violation) }
    let folio = unsafe question.pointee.folio
    if unsafe folio.kind == .lent {
      let address = unsafe UInt64(UInt(bitPattern: folio.memory!))
      if unsafe isServed(address, folio.length)
        || isPublisher(question.pointee.backing, address, folio.length)
      {
        return unsafe broken(question, .lentServedMemory)
      }
      if unsafe instance.pointee.isInline, unsafe folio.residence != .resident,
        unsafe !instance.isWarm(question.pointee.pgoff), unsafe !isPrepared(question)
      {
        // Reading it could wait for a disk: a worker makes the surroundings resident, then we ask again.
        unsafe putBack(question)
        unsafe unclaim(question)
        unsafe question.pointee.purpose = .warm
        return unsafe handFirst(question)
      }
    }
    var rest: UnsafeMutablePointer<Question>?
    if unsafe folio.count < question.pointee.count {
      unsafe unclaim(question, from: folio.count)
      unsafe rest = unsafe split(question, at: folio.count)
    }
    unsafe counters.add(.provided, folio.count * instance.pointee.granule)
    unsafe account(question, isSampled)
    if let rest = unsafe rest { unsafe work(rest) }
  }

  /// Whether a range is memory that we serve: reading it would sleep on our own uffd. Between the same two
  /// regions as last time it is not.
  @inline(__always)
  mutating func isServed(_ address: UInt64, _ length: UInt64) -> Bool {
    let isInGap = address >= gap.start && address < gap.end && length <= gap.end - address
    return unsafe isInGap && local.tableVersion == gap.version ? false : overlaps(address, length)
  }

  @inline(never)
  private mutating func overlaps(_ address: UInt64, _ length: UInt64) -> Bool {
    let exclusion = unsafe local.pointee.exclusion
    exclusion.beginInstall()
    defer { exclusion.endInstall() }
    gap = unsafe local.pointee.table.gap(around: address)
    return unsafe local.pointee.table.overlaps(address, length)
  }

  /// Whether a range is the host's publisher mapping: a COPY from there would fault on a uffd nobody reads.
  @inline(__always)
  mutating func isPublisher(
    _ backing: UnsafeMutablePointer<BackingRecord>?, _ address: UInt64, _ length: UInt64
  ) -> Bool {
    guard let backing = unsafe backing else { return false }
    let base = unsafe backing.pointee.publisherBase
    let end = unsafe base + backing.pointee.states.count * backing.pointee.granule
    return address < end && base < address &+ length
  }

  /// filemap_add (unless a worker has done it), then the install.
  mutating func account(_ question: UnsafeMutablePointer<Question>, _ isSampled: Bool) {
    let instance = unsafe question.pointee.instance!
    if unsafe question.pointee.claimed, unsafe instance.pointee.isDirect,
      let add = unsafe filemapAdd(question)
    {
      unsafe question.pointee.accountStatus = unsafe add(
        instance.pointee.handle, question.pointee.pgoff, question.pointee.count)
      if unsafe question.pointee.accountStatus == .ok {
        unsafe question.pointee.addedCount = unsafe question.pointee.count
      }
    }
    if unsafe question.pointee.accountStatus != .ok {
      unsafe putBack(question)
      return unsafe refused(question, question.pointee.accountStatus)
    }
    let before = isSampled ? monotonicNanoseconds() : 0
    unsafe install(question)
    if isSampled { counters.add(.kernelNanoseconds, monotonicNanoseconds() - before) }
  }

  /// The hook that accounts the question's pages; nil for the memory of a client, which no filemap knows.
  @inline(__always)
  mutating func filemapAdd(_ question: UnsafeMutablePointer<Question>) -> InstanceRecord.Add? {
    unsafe question.pointee.backing?.pointee.isForeign == true
      ? nil : question.pointee.instance!.pointee.filemapAdd
  }

  /// Takes back what was accounted for pages from `offset` on, which did not reach the backing.
  mutating func unaccount(_ question: UnsafeMutablePointer<Question>, from offset: UInt64) {
    let added = unsafe question.pointee.addedCount
    unsafe question.pointee.addedCount = 0
    guard offset < added else { return }
    let instance = unsafe question.pointee.instance!
    let pgoff = unsafe question.pointee.pgoff + offset
    if unsafe instance.pointee.isDirect {
      unsafe instance.pointee.filemapRemove!(instance.pointee.handle, pgoff, added - offset)
    } else {
      // Before all that is asked: nobody may account these pages anew before they were taken back.
      unsafe instance.submit(
        .filemapRemove(instance, pgoff: pgoff, count: added - offset), .undo)
    }
  }

  /// Ends what an OK answer lent or staged: exactly once for each answer.
  mutating func putBack(_ question: UnsafeMutablePointer<Question>) {
    let instance = unsafe question.pointee.instance!
    switch unsafe question.pointee.folio.kind {
    case .lent:
      guard let put = unsafe instance.pointee.put else { break }
      if unsafe instance.pointee.isDirect {
        unsafe put(
          instance.pointee.contentHandle, question.pointer(to: \.folio)!, question.pointee.pgoff)
      } else {
        unsafe instance.submit(
          .put(instance, question.pointee.folio, pgoff: question.pointee.pgoff), .undo)
      }
    case .staged:
      if let memory = unsafe question.pointee.folio.memory,
        unsafe memory != UnsafeRawPointer(staging.base),
        unsafe memory != question.pointee.staging.map({ UnsafeRawPointer($0) })
      {
        unsafe instance.freeStaging(memory)
      }
    default: break
    }
    if let staging = unsafe question.pointee.staging {
      unsafe instance.freeStaging(staging)
      unsafe question.pointee.staging = nil
    }
    unsafe question.pointee.folio = unsafe emptyFolio()
  }
}

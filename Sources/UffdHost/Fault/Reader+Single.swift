// SPDX-License-Identifier: Apache-2.0
// The usual fault: one page that simply is not there, of a provider that answers on this thread, while
// nothing else is going on. It is served from registers: a question is a record of 200 bytes that goes
// through every decision, and costs more than the call into the provider.
//
// With an exclusion the thread is woken after it was left: woken by the install itself it would as a rule take
// this CPU, while the other readers spin for us.
//
// Nothing is decided here that is not decided the same way for a question. Whatever differs from the plain
// case before the provider is asked is left to one (false); whatever comes out differently afterwards becomes
// one, with the answer in it.
import UffdPluginABI

extension Reader {
  /// Serves a fault on one page if it is a usual one. False: nothing was done.
  @inline(__always)
  mutating func serveSingly(_ fault: UnsafeMutablePointer<MergedFault>) -> Bool {
    // A question that is open may be about this very page.
    guard questions.activeCount == 0 else { return false }
    let region = unsafe fault.pointee.region
    guard unsafe region.pointee.states.region(fault.pointee.page) == .unmapped,
      unsafe !region.pointee.shape.readsZero, unsafe !region.pointee.instance.isBroken
    else { return false }
    switch unsafe fault.pointee.kind {
    case .missing: return unsafe fillSingly(fault)
    case .minor: return unsafe continueSingly(fault)
    case .unknown: return false
    }
  }

  /// Content into the mapping alone.
  @inline(__always)
  private mutating func fillSingly(_ fault: UnsafeMutablePointer<MergedFault>) -> Bool {
    let region = unsafe fault.pointee.region
    let instance = unsafe region.pointee.instance
    let granule = unsafe region.pointee.granule
    let pgoff = unsafe region.pgoff(of: fault.pointee.page)
    guard unsafe !region.pointee.shape.fillsBacking, unsafe !region.pointee.shape.arrivesFilled,
      unsafe instance.pointee.isInline, unsafe instance.pointee.isDirect,
      let alloc = unsafe instance.pointee.alloc, unsafe !instance.isKnownZero(pgoff),
      ensureBuffers(granule), let slot = unsafe questions.next,
      unsafe mostAround <= 1 || isAlone(region, fault.pointee.page, .fill)
    else { return false }
    let asked = beginSample()
    var folio = unsafe emptyFolio()
    var request = unsafe folioRequest(
      pgoff: pgoff, count: 1, granule: granule, access: fault.pointee.access,
      ticket: questions.ticket(slot), staging: staging.base,
      stagingLength: UInt64(staging.length))
    let status = unsafe alloc(instance.pointee.contentHandle, &request, &folio)
    let answered = asked == 0 ? 0 : monotonicNanoseconds()
    guard unsafe status == .ok && isUsual(folio, pgoff, region) else {
      unsafe concludeSlowly(fault, status, folio)
      return true
    }
    let start = unsafe region.address(of: fault.pointee.page)
    exclusion.beginInstall()
    // The hook ran without any lock: what the client discarded meanwhile must not get old content. Without an
    // exclusion only this thread can have read of it, and has not.
    guard unsafe exclusion.isNone || region.pointee.states.region(fault.pointee.page) == .unmapped
    else {
      exclusion.endInstall()
      unsafe concludeSlowly(fault, status, folio)
      return true
    }
    let wakes = exclusion.isNone
    let result: CallResult
    switch unsafe folio.kind {
    case .lent:
      result = unsafe calls.copy(to: start, from: folio.memory!, length: granule, wakes: wakes)
    case .staged:
      result = unsafe calls.copy(to: start, from: staging.base, length: granule, wakes: wakes)
    default: result = calls.zero(start, length: granule, wakes: wakes)
    }
    if result.succeeded {
      unsafe region.pointee.states.setMapped(fault.pointee.page, alone: exclusion.isNone)
    }
    exclusion.endInstall()
    guard result.succeeded else {
      unsafe installSlowly(fault, folio, result)
      return true
    }
    if asked != 0 { noteSample(asked, answered) }
    if !wakes { calls.wake(start, length: granule) }
    unsafe counters.add(folio.kind == .zero ? .zeroed : .copied, granule)
    counters.add(.provided, granule)
    if unsafe folio.kind == .lent, let put = unsafe instance.pointee.put {
      unsafe put(instance.pointee.contentHandle, &folio, pgoff)
    }
    unsafe questions.renew(slot)
    return true
  }

  @inline(never)
  private mutating func noteSample(_ asked: UInt64, _ answered: UInt64) {
    counters.add(.samples)
    counters.add(.providerNanoseconds, answered - asked)
    counters.add(.kernelNanoseconds, monotonicNanoseconds() - answered)
  }

  /// What `conclude` would let pass and install with one call.
  @inline(__always)
  private mutating func isUsual(
    _ folio: uffd_folio, _ pgoff: UInt64, _ region: UnsafeMutablePointer<RegionRecord>
  ) -> Bool {
    guard unsafe folio.count == 1 else { return false }
    let instance = unsafe region.pointee.instance
    switch unsafe folio.kind {
    case .lent:
      guard unsafe instance.pointee.lends, let memory = unsafe folio.memory,
        unsafe folio.length >= region.pointee.granule,
        unsafe folio.residence == .resident || instance.isWarm(pgoff)
      else { return false }
      let address = UInt64(UInt(bitPattern: memory))
      return unsafe !isServed(address, folio.length)
        && !isPublisher(region.pointee.backing, address, folio.length)
    case .staged:
      return unsafe folio.memory == nil || folio.memory! == UnsafeRawPointer(staging.base)
    case .zero: return unsafe folio.memory == nil && !region.pointee.isHugetlb
    default: return false
    }
  }

  /// CONTINUE of what the provider's filemap holds.
  @inline(__always)
  private mutating func continueSingly(_ fault: UnsafeMutablePointer<MergedFault>) -> Bool {
    let region = unsafe fault.pointee.region
    let instance = unsafe region.pointee.instance
    let granule = unsafe region.pointee.granule
    guard let backing = unsafe region.pointee.backing,
      unsafe region.pointee.shape.arrivesFilled
        || (region.pointee.shape.fillsBacking
          && region.backingState(fault.pointee.page) == .present),
      unsafe instance.pointee.looksUpHere, let slot = unsafe questions.next,
      unsafe mostAround <= 1 || isAlone(region, fault.pointee.page, .lookUp)
    else { return false }
    if let lookup = unsafe instance.pointee.lookup, unsafe !backing.pointee.isForeign {
      let status = unsafe lookup(
        instance.pointee.handle, region.pgoff(of: fault.pointee.page), questions.ticket(slot))
      guard status == .ok else {
        unsafe lookedUpSlowly(fault, status)
        return true
      }
    }
    let start = unsafe region.address(of: fault.pointee.page)
    let wakes = exclusion.isNone
    exclusion.beginInstall()
    let isInstalled =
      unsafe region.pointee.states.region(fault.pointee.page) == .unmapped
      && calls.continue(start, length: granule, wakes: wakes).succeeded
    if isInstalled {
      unsafe region.pointee.states.setMapped(fault.pointee.page, alone: exclusion.isNone)
    }
    exclusion.endInstall()
    guard isInstalled else {
      unsafe lookedUpSlowly(fault, .ok)
      return true
    }
    if !wakes { calls.wake(start, length: granule) }
    counters.add(.continued, granule)
    unsafe questions.renew(slot)
    return true
  }

  /// Whether the fault takes no page along; if so, that is noted.
  @inline(__always)
  private mutating func isAlone(
    _ region: UnsafeMutablePointer<RegionRecord>, _ page: UInt64, _ action: FaultAction
  ) -> Bool {
    guard unsafe region.pointee.touches == nil else { return true }
    let limits = unsafe aroundLimits(
      action, shift: region.pointee.granuleShift, most: mostAround, run: Self.largestRun,
      mapsZeroPage: false)
    guard limits.most > 1 else { return true }
    let choice = unsafe region.pointee.streams.choose(
      page..<(page + 1), limits, region.pointee.states)
    guard choice.pages == page..<(page + 1) else { return false }
    unsafe region.pointee.streams.note(choice, choice.pages)
    return true
  }

  /// Goes on with the provider's answer as a question that was asked.
  @inline(never)
  private mutating func concludeSlowly(
    _ fault: UnsafeMutablePointer<MergedFault>, _ status: uffd_status, _ folio: uffd_folio
  ) {
    guard let question = unsafe ask(fault, .fill) else { return }
    unsafe question.pointee.folio = unsafe status == .ok ? folio : emptyFolio()
    unsafe conclude(question, status, staging.base, false)
  }

  /// Judges what the call answered. What only wants to be gone about differently is.
  @inline(never)
  private mutating func installSlowly(
    _ fault: UnsafeMutablePointer<MergedFault>, _ folio: uffd_folio, _ result: CallResult
  ) {
    let region = unsafe fault.pointee.region
    let isForeign = unsafe folio.kind == .lent
    let context = unsafe InstallContext(
      hugetlb: region.pointee.isHugetlb, shared: region.pointee.shape.shared, singlePage: true,
      sourceIsForeign: isForeign)
    let call = unsafe folio.kind == .zero ? InstallCall.zero : .copy
    let step = nextStep(after: call, error: result.error, done: result.done, context)
    switch step {
    case .advance, .split, .copyZeroes, .present: unsafe concludeSlowly(fault, .ok, folio)
    default:
      guard let question = unsafe ask(fault, .fill) else { return }
      unsafe question.pointee.folio = unsafe folio
      unsafe counters.add(.provided, region.pointee.granule)
      unsafe putBack(question)
      unsafe stopped(question, step, sourceIsForeign: isForeign)
    }
  }

  @inline(never)
  private mutating func lookedUpSlowly(
    _ fault: UnsafeMutablePointer<MergedFault>, _ status: uffd_status
  ) {
    guard let question = unsafe ask(fault, .lookUp) else { return }
    unsafe lookedUp(question, status)
  }

  /// The question that has the ticket under which the provider was asked: nothing else took the slot since.
  private mutating func ask(
    _ fault: UnsafeMutablePointer<MergedFault>, _ purpose: Question.Purpose
  ) -> UnsafeMutablePointer<Question>? {
    let question = unsafe makeQuestion(fault.pointee)
    unsafe question?.pointee.purpose = purpose
    return unsafe question
  }
}

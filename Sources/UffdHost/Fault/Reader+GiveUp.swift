// SPDX-License-Identifier: Apache-2.0
// Pages that cannot be had. Never zeroes: poison where the kernel can, else the client dies, or the threads
// sleep on under the policy `hold`. Always with a line in the log. Never inlined into the fault path.
import Glibc
import UffdPluginABI

/// Why a page is given up.
enum GivingUp {
  case brokenProvider
  /// A hook answered with a failure that is not tried again.
  case provider(String, uffd_status)
  case shortage(Shortage)
  case deadline
  case hole
  /// A client's memfd holds the page, and the hand-off does not vouch for it.
  case stray
  case notInFilemap
  case badSource
  case badMemory
  case hostBug

  /// Completes "granule N of PROVIDER cannot be provided: ...".
  var text: String {
    switch self {
    case .brokenProvider: "the provider broke the contract"
    case .provider(let hook, let status): "\(hook) answered \(status.name)"
    case .shortage(.memory): "there is no memory for it"
    case .shortage(.limit): "filemap_add refused to account it"
    case .shortage(.io): "the provider could not read its source"
    case .deadline: "the provider did not answer within the deadline of the fault"
    case .hole: "the backing has a hole there and the provider does not fill it"
    case .stray: "the client's memfd holds it though nobody filled it"
    case .notInFilemap: "the provider's filemap does not hold it"
    case .badSource: "the memory that was lent for it cannot be read"
    case .badMemory: "its memory is broken (EIO)"
    case .hostBug: "the kernel refused an install of the host, which is a bug of the host"
    }
  }
}

extension Reader {
  /// Gives the question's pages up. Without a reason they were given up before.
  @inline(never)
  mutating func giveUp(_ question: UnsafeMutablePointer<Question>, _ reason: GivingUp?) {
    if unsafe question.takesAlong { return unsafe shed(question) }
    unsafe unclaim(question)
    if let reason {
      // On a client's huge pages POISON itself tells whether there was no memory, or the page all the time.
      if case .shortage(.memory) = reason, unsafe isProbe(question) {
        unsafe question.pointee.isProbe = true
      } else {
        unsafe report(question, reason)
      }
    }
    if let order = unsafe question.pointee.order, reason != nil {
      unsafe addFailure(to: order, question.pointee.count)
    }
    guard let region = unsafe question.pointee.region else { return unsafe end(question) }
    switch policy {
    case .hold:
      if unsafe question.pointee.order != nil { return unsafe end(question) }
      unsafe question.pointee.attempts = 0
      return unsafe park(question, .held)
    case .kill: return unsafe killClient(question)
    case .poison: break
    }
    guard canPoison else { return unsafe killClient(question) }
    unsafe poison(question, region)
  }

  private func report(_ question: UnsafeMutablePointer<Question>, _ reason: GivingUp) {
    if policy != .hold { unsafe counters.add(.givenUp, question.pointee.count) }
    unsafe reporter.gaveUp(question.pointee.instance!, question.pointee.pgoff, reason)
  }

  private func isProbe(_ question: UnsafeMutablePointer<Question>) -> Bool {
    guard policy == .poison, canPoison, let region = unsafe question.pointee.region else {
      return false
    }
    return unsafe region.pointee.isHugetlb && !session.pointee.isOwnProcess
  }

  private mutating func poison(
    _ question: UnsafeMutablePointer<Question>, _ region: UnsafeMutablePointer<RegionRecord>
  ) {
    let first = unsafe question.pointee.pgoff - region.pointee.firstPgoff
    let start = unsafe region.address(of: first)
    let length = unsafe question.pointee.count * region.pointee.granule
    let page = unsafe region.pointee.pageSize
    var offset: UInt64 = 0
    var piece = length
    var stop: InstallStep?
    exclusion.beginInstall()
    while offset < length, stop == nil {
      let size = min(piece, length - offset)
      let result = calls.poison(start + offset, length: size)
      if result.succeeded {
        unsafe markPoisoned(region, first, offset, size)
        offset += size
        if unsafe question.pointee.isProbe {
          unsafe question.pointee.isProbe = false
          unsafe report(question, .shortage(.memory))
        }
        continue
      }
      let context = unsafe InstallContext(
        hugetlb: region.pointee.isHugetlb, shared: region.pointee.shape.shared,
        singlePage: size == page)
      switch nextStep(after: .poison, error: result.error, done: result.done, context) {
      case .advance:
        unsafe markPoisoned(region, first, offset, UInt64(result.done))
        offset += UInt64(result.done)
      case .split: piece = page
      case .present, .drop:
        // Something is there after all, or nothing of ours: let the thread look.
        calls.wake(start + offset, length: page)
        let index = unsafe first + offset >> region.pointee.granuleShift
        if unsafe region.pointee.states.region(index) == .unmapped {
          unsafe region.pointee.states.set(index, RegionPage.mapped)
        }
        offset += page
      case let step: stop = step
      }
    }
    exclusion.endInstall()
    guard let stop else { return unsafe end(question) }
    switch stop {
    case .cannotPoison, .hostBug: unsafe killClient(question)
    case .clientGone:
      unsafe session.pointee.isSuspect = true
      unsafe end(question)
    default:
      unsafe question.pointee.isGivenUp = true
      unsafe park(question, .kernel)
    }
  }

  private func markPoisoned(
    _ region: UnsafeMutablePointer<RegionRecord>, _ first: UInt64, _ offset: UInt64,
    _ length: UInt64
  ) {
    counters.add(.poisoned, length)
    let shift = unsafe region.pointee.granuleShift
    unsafe region.pointee.states.set(
      (first + offset >> shift)..<(first + (offset + length) >> shift), RegionPage.poisoned)
  }

  /// The client cannot be told page by page: it must not run on. In process, that is this process.
  @inline(never)
  mutating func killClient(_ question: UnsafeMutablePointer<Question>) {
    unsafe reporter.killing(
      question.pointee.instance!, question.pointee.pgoff,
      policy == .kill ? "the policy is to kill" : "this kernel cannot poison a page (Linux 6.6)")
    guard let client = unsafe session.pointee.client else {
      kill(getpid(), SIGKILL)
      return
    }
    if unsafe client._withUnsafeGuaranteedRef({ $0.kill(reporter) }) {
      unsafe end(question)
    } else {
      // Whom to kill is not known (a forked child): it sleeps on rather than read what is wrong.
      unsafe park(question, .held)
    }
  }

  /// alloc_folio answered something other than OK.
  @inline(never)
  mutating func failed(_ question: UnsafeMutablePointer<Question>, _ status: uffd_status) {
    if status == .busy { return unsafe askLater(question) }
    if unsafe question.takesAlong { return unsafe shed(question) }
    unsafe unclaim(question)
    counters.add(.providerErrors)
    unsafe reporter.providerFailed(question.pointee.instance!, question.pointee.pgoff, status)
    switch status {
    case .noMemory: unsafe retryLater(question, .memory)
    case .ioError: unsafe retryLater(question, .io)
    case .absent, .outOfRange, .gone: unsafe giveUp(question, .provider("alloc_folio", status))
    default: unsafe broken(question, .unknownStatus)
    }
  }

  /// filemap_add refused.
  @inline(never)
  mutating func refused(_ question: UnsafeMutablePointer<Question>, _ status: uffd_status) {
    if unsafe question.takesAlong { return unsafe shed(question) }
    unsafe unclaim(question)
    counters.add(.providerErrors)
    switch status {
    case .noMemory: unsafe retryLater(question, .limit)
    case .outOfRange, .gone: unsafe giveUp(question, .provider("filemap_add", status))
    case .absent, .busy, .ioError: unsafe broken(question, .absentBusyFilemap)
    default: unsafe broken(question, .unknownFilemapStatus)
    }
  }

  /// The provider broke the contract: from now on its regions fail closed.
  @inline(never)
  mutating func broken(_ question: UnsafeMutablePointer<Question>, _ violation: Violation) {
    unsafe unaccount(question, from: 0)
    unsafe putBack(question)
    unsafe unclaim(question)
    counters.add(.violations)
    if unsafe question.pointee.instance!.markBroken() {
      unsafe reporter.violation(question.pointee.instance!, violation)
    }
    unsafe giveUp(question, .brokenProvider)
  }
}

extension uffd_status {
  /// The name that the header gives it.
  var name: String {
    switch self {
    case .ok: "OK"
    case .absent: "ABSENT"
    case .busy: "BUSY"
    case .outOfRange: "OUT_OF_RANGE"
    case .noMemory: "NO_MEMORY"
    case .ioError: "IO_ERROR"
    case .gone: "GONE"
    default: "the unknown status \(rawValue)"
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// Pages that a fault takes along (FaultAround.swift says how many).
// Where the answer costs nothing but the copying they are part of the fault's own question: one question,
// one install. Where it takes time they have a question of their own, behind the fault's.
//
// Nobody waits for them, so they never do harm: whatever a question meets beyond plain success, it first
// sheds what it takes along, and a question that has nothing else ends. Such pages are not given up, not
// poisoned, not tried again, and not put off; whoever touches them asks anew.
import UffdPluginABI

/// Pages of a fault's neighbourhood, as granules of the object: before the fault, and behind it.
struct Company {
  var before: Range<UInt64>
  var behind: Range<UInt64>
}

extension Reader {
  /// Extends the question of a fault over the pages that it takes along. What is returned is to be asked
  /// separately, after the fault.
  @inline(__always)
  mutating func takeAlong(_ question: UnsafeMutablePointer<Question>) -> Company? {
    let region = unsafe question.pointee.region!
    let action = unsafe action(question, question.pointee.pgoff)
    let limits = unsafe aroundLimits(
      action, shift: region.pointee.granuleShift, most: mostAround, run: Self.largestRun,
      mapsZeroPage: mapsZeroPage(question, region))
    guard limits.most > 1 else { return nil }
    let isContent = action == .fill || action == .fillZero
    // What a hole of a file says about its neighbours is nothing: they may be in the file.
    if isContent, unsafe region.pointee.shape.arrivesFilled { return nil }
    let first = unsafe question.pointee.pgoff - region.pointee.firstPgoff
    let fault = unsafe first..<(first + question.pointee.count)
    let streams = unsafe region.pointee.streams
    let choice = unsafe streams.choose(fault, limits, region.pointee.states)
    if choice.isDense { return unsafe complete(question, choice, fault) }
    var (low, high) = (fault.lowerBound, fault.upperBound)
    while low > choice.pages.lowerBound, unsafe isAlike(question, region, low - 1, action) {
      low -= 1
    }
    let instance = unsafe question.pointee.instance!
    let isPrompt = unsafe instance.isPrompt
    // A run that has gone on for long: as much again, in an install of its own behind the fault's.
    let isLong =
      unsafe action == .fill && isPrompt && choice.window == limits.most
      && limits.most * 2 <= mostAround && choice.pages.lowerBound == fault.lowerBound
      && mayFetch(instance)
    let stop = unsafe min(choice.pages.upperBound, region.pointee.states.count)
    let end = unsafe isLong ? min(stop + limits.most, region.pointee.states.count) : stop
    while high < end, unsafe isAlike(question, region, high, action) { high += 1 }
    streams.note(choice, low..<high)
    if low == fault.lowerBound && high == fault.upperBound { return nil }
    let base = unsafe region.pointee.firstPgoff
    let wanted = (base + fault.lowerBound)..<(base + fault.upperBound)
    if action == .lookUp, unsafe !instance.pointee.looksUpHere { return nil }
    // Where a worker must account zeroes they are not worth it.
    if action == .fillZero, unsafe !instance.pointee.isDirect, unsafe publishes(question) {
      return nil
    }
    if action == .fill, !isPrompt {
      return Company(
        before: (base + low)..<wanted.lowerBound, behind: wanted.upperBound..<(base + high))
    }
    unsafe question.pointee.wanted = wanted
    unsafe question.pointee.pgoff = base + low
    unsafe question.pointee.count = min(high, max(stop, fault.upperBound)) - low
    if high <= stop { return nil }
    return Company(
      before: wanted.lowerBound..<wanted.lowerBound, behind: (base + stop)..<(base + high))
  }

  /// Extends a question over a piece of which most is there. What is there, or must be treated otherwise, is
  /// split off when the question is judged.
  private mutating func complete(
    _ question: UnsafeMutablePointer<Question>, _ choice: AroundChoice, _ fault: Range<UInt64>
  ) -> Company? {
    let region = unsafe question.pointee.region!
    unsafe region.pointee.streams.note(choice, fault)
    guard unsafe question.pointee.instance!.isPrompt else { return nil }
    let base = unsafe region.pointee.firstPgoff
    unsafe question.pointee.wanted = (base + fault.lowerBound)..<(base + fault.upperBound)
    unsafe question.pointee.pgoff = base + choice.pages.lowerBound
    unsafe question.pointee.count = choice.pages.upperBound - choice.pages.lowerBound
    return nil
  }

  /// Whether zeroes in a region are the kernel's zero page: a private one's, if they are not published.
  @inline(__always)
  private mutating func mapsZeroPage(
    _ question: UnsafeMutablePointer<Question>, _ region: UnsafeMutablePointer<RegionRecord>
  ) -> Bool {
    unsafe question.pointee.kind == .missing && !region.pointee.shape.shared
      && !region.pointee.shape.fillsBacking && !region.pointee.isHugetlb
  }

  /// Whether a page beside a fault is missing, too, and needs the same to be done.
  @inline(__always)
  private mutating func isAlike(
    _ question: UnsafeMutablePointer<Question>, _ region: UnsafeMutablePointer<RegionRecord>,
    _ page: UInt64, _ action: FaultAction
  ) -> Bool {
    unsafe region.pointee.states.region(page) == .unmapped
      && self.action(question, region.pointee.firstPgoff + page) == action
  }

  /// Asks for pages beside a fault, which was asked for before, as far as that keeps nobody waiting.
  @inline(never)
  mutating func fetch(
    _ company: Company, beside region: UnsafeMutablePointer<RegionRecord>, _ kind: FaultKind
  ) {
    if !company.behind.isEmpty { unsafe fetch(company.behind, beside: region, kind) }
    if !company.before.isEmpty { unsafe fetch(company.before, beside: region, kind) }
  }

  private mutating func fetch(
    _ pages: Range<UInt64>, beside region: UnsafeMutablePointer<RegionRecord>, _ kind: FaultKind
  ) {
    guard unsafe mayFetch(region.pointee.instance), let question = unsafe questions.take() else {
      return
    }
    unsafe question.pointee.kind = kind
    unsafe question.pointee.access = uffd_access.prefetch.rawValue
    unsafe question.pointee.region = unsafe region
    unsafe question.pointee.instance = unsafe region.pointee.instance
    unsafe question.pointee.backing = unsafe region.pointee.backing
    unsafe question.pointee.pgoff = pages.lowerBound
    unsafe question.pointee.count = pages.upperBound - pages.lowerBound
    unsafe question.pointee.wanted = 0..<0
    unsafe work(question)
  }

  /// With more questions open than this nothing is taken along.
  private static let mostOpen = 64
  /// Questions about pages that nobody waits for, of one reader about one instance.
  private static let mostFetches = 4

  /// Whether an instance has nothing better to do. A worker that is busy with pages that nobody waits for
  /// keeps the next fault waiting.
  private mutating func mayFetch(_ instance: UnsafeMutablePointer<InstanceRecord>) -> Bool {
    guard questions.activeCount <= Self.mostOpen,
      unsafe instance.inFlight.relaxed <= (instance.pointee.workers + 1) / 2
    else { return false }
    var open = 0
    for index in 0..<questions.activeCount {
      let other = unsafe questions.slots + Int(questions.active[index])
      if unsafe other.isUnwanted, unsafe other.pointee.instance == instance { open += 1 }
    }
    return open < Self.mostFetches
  }

  /// A fault waits so long for pages that are being fetched without being claimed; then it asks for itself.
  private static let patienceWithOthers: UInt64 = 100_000_000

  /// Whether the pages of a fault are being fetched already. Claims show that of backing pages that a
  /// provider is asked for; others are looked for.
  @inline(__always)
  mutating func isFetched(_ question: UnsafeMutablePointer<Question>) -> Bool {
    if questions.activeCount == 0 { return false }
    let instance = unsafe question.pointee.instance!
    return unsafe (instance.pointee.lends || !instance.isPrompt) && isUnderWay(question)
  }

  @inline(never)
  private mutating func isUnderWay(_ question: UnsafeMutablePointer<Question>) -> Bool {
    guard unsafe question.pointee.region != nil, questions.activeCount <= Self.mostOpen,
      unsafe !question.isUnwanted
    else { return false }
    let oldest = monotonicNanoseconds() - Self.patienceWithOthers
    for index in 0..<questions.activeCount {
      let other = unsafe questions.slots + Int(questions.active[index])
      if unsafe other.isUnwanted, unsafe other.pointee.region == question.pointee.region,
        unsafe other.pointee.born > oldest,
        unsafe other.pointee.pgoff <= question.pointee.pgoff,
        unsafe question.pointee.pgoff + question.pointee.count
          <= other.pointee.pgoff + other.pointee.count
      {
        if unsafe other.pointee.phase != .working { return true }
        let instance = unsafe question.pointee.instance!
        // What a fault took along is as good as what it took itself, but it is waited for now.
        if unsafe other.pointee.order == nil {
          unsafe instance.promote(other, for: session)
          return true
        }
        // A piece of a fill that no worker has begun would be waited for without need: this is asked for alone.
        if unsafe !instance.isWaiting(other) { return true }
      }
    }
    return false
  }

  /// Waits for pages that another question has claimed. If that was to be asked when nobody needs a worker, it
  /// is its turn now.
  @inline(never)
  mutating func awaitOther(_ question: UnsafeMutablePointer<Question>) {
    let instance = unsafe question.pointee.instance!
    if unsafe !instance.pointee.isInline, unsafe question.pointee.order == nil,
      unsafe !question.isUnwanted, let backing = unsafe question.pointee.backing
    {
      let (pgoff, count) = unsafe (question.pointee.pgoff, question.pointee.count)
      unsafe instance.promote(pgoff..<(pgoff + count), of: backing, for: session)
    }
    unsafe park(question, .published)
  }

  /// Ends a fault that waited for another question's pages if that has mapped its page. Whoever sleeps on it
  /// was woken by that; that it is woken here is for a page that was mapped before, and is missing again.
  @inline(__always)
  mutating func wasServed(_ question: UnsafeMutablePointer<Question>) -> Bool {
    guard unsafe question.pointee.waiting == .published, unsafe question.pointee.order == nil,
      unsafe question.pointee.count == 1, let region = unsafe question.pointee.region
    else { return false }
    let page = unsafe question.pointee.pgoff - region.pointee.firstPgoff
    guard unsafe region.pointee.states.region(page) == .mapped else { return false }
    unsafe wake(region, question.pointee.pgoff, 1)
    counters.add(.alreadyPresent)
    unsafe end(question)
    return true
  }

  /// Takes what nobody waits for out of a question.
  private mutating func narrow(_ question: UnsafeMutablePointer<Question>) -> Company {
    unsafe unclaim(question)
    let low = unsafe max(question.pointee.pgoff, question.pointee.wanted.lowerBound)
    let end = unsafe question.pointee.pgoff + question.pointee.count
    let high = unsafe max(low, min(end, question.pointee.wanted.upperBound))
    let company = unsafe Company(
      before: question.pointee.pgoff..<low, behind: min(high, end)..<end)
    unsafe question.pointee.pgoff = low
    unsafe question.pointee.count = high - low
    return company
  }

  /// Something stands in the way of a question that takes pages along: on without them. It holds no answer.
  @inline(never)
  mutating func shed(_ question: UnsafeMutablePointer<Question>) {
    if unsafe question.isUnwanted {
      unsafe unclaim(question)
      if let order = unsafe question.pointee.order {
        unsafe addFailure(to: order, question.pointee.count)
      }
      // Who waits for the pages looks again.
      hasPublished = true
      return unsafe end(question)
    }
    _ = unsafe narrow(question)
    unsafe work(question)
  }

  /// Gives a question to the workers: what is waited for first.
  @inline(never)
  mutating func handFirst(_ question: UnsafeMutablePointer<Question>) {
    guard unsafe question.takesAlong, unsafe !question.isUnwanted else {
      return unsafe hand(question)
    }
    let (region, kind) = unsafe (question.pointee.region!, question.pointee.kind)
    let company = unsafe narrow(question)
    unsafe hand(question)
    unsafe fetch(company, beside: region, kind)
  }

  /// The provider says that its answer will come later. From now on a fault of it is asked for alone, and
  /// this one is.
  @inline(never)
  mutating func askLater(_ question: UnsafeMutablePointer<Question>) {
    unsafe question.pointee.instance!.answersLater()
    guard unsafe question.takesAlong, unsafe !question.isUnwanted else {
      return unsafe park(question, .provider)
    }
    let (region, kind) = unsafe (question.pointee.region!, question.pointee.kind)
    unsafe cancel(question)
    unsafe questions.renew(question)
    let company = unsafe narrow(question)
    unsafe work(question)
    unsafe fetch(company, beside: region, kind)
  }

  /// A worker did not come back in time with pages that nobody waits for. Whoever touches them may ask for
  /// them anew, unless the worker could still account them.
  mutating func leaveBehind(_ question: UnsafeMutablePointer<Question>) {
    if unsafe question.pointee.instance!.pointee.isDirect { unsafe unclaim(question) }
    if let order = unsafe question.pointee.order {
      unsafe addFailure(to: order, question.pointee.count)
      unsafe settle(order, question.pointee.count)
      unsafe question.pointee.order = nil
    }
    unsafe question.pointee.region = nil
    hasPublished = true
  }
}

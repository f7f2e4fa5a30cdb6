// SPDX-License-Identifier: Apache-2.0
// From a fault to a question, from a question to an action.
import UffdPluginABI

extension Reader {
  /// Serves the merged faults of a batch.
  mutating func serveFaults(_ count: Int) {
    for index in 0..<count {
      let fault = unsafe faults + index
      if unsafe fault.pointee.length == 1 && serveSingly(fault) { continue }
      unsafe raise(fault.pointee)
    }
  }

  /// Makes a question of a run of faults. Nil: 32,768 questions are open, or a quarter of that of this client
  /// alone, and the threads ask again.
  @inline(__always)
  mutating func makeQuestion(
    _ fault: MergedFault
  ) -> UnsafeMutablePointer<Question>? {
    let open = unsafe fault.region.pointee.session.pointee.openQuestions
    guard open < QuestionTable.mostOfClient, let question = unsafe questions.take() else {
      let start = unsafe fault.region.address(of: fault.page)
      unsafe calls.wake(start, length: fault.length << fault.region.pointee.granuleShift)
      reporter.tooManyQuestions()
      return nil
    }
    let region = unsafe fault.region
    unsafe question.pointee.kind = fault.kind
    unsafe question.pointee.access = fault.access
    unsafe question.pointee.region = unsafe region
    unsafe question.pointee.instance = unsafe region.pointee.instance
    unsafe question.pointee.backing = unsafe region.pointee.backing
    unsafe question.pointee.pgoff = unsafe region.pgoff(of: fault.page)
    unsafe question.pointee.count = fault.length
    return unsafe question
  }

  /// Makes a question of a run of faults and works on it.
  @inline(never)
  private mutating func raise(_ fault: MergedFault) {
    guard let question = unsafe makeQuestion(fault) else { return }
    let region = unsafe fault.region
    // What is taken along raises no fault, and a recording would not see it.
    guard mostAround > 1, unsafe region.pointee.touches == nil,
      let company = unsafe takeAlong(question)
    else {
      return unsafe work(question)
    }
    unsafe work(question)
    unsafe fetch(company, beside: region, fault.kind)
  }

  /// Works on a question until it has ended or waits. A part that needs another treatment is split off
  /// and worked on next.
  mutating func work(_ first: UnsafeMutablePointer<Question>) {
    var current: UnsafeMutablePointer<Question>? = unsafe first
    while let question = unsafe current {
      let (action, length) = unsafe judge(question)
      unsafe current = unsafe length < question.pointee.count ? split(question, at: length) : nil
      unsafe act(action, question)
    }
  }

  /// What the first page needs, and how many pages need the same.
  private mutating func judge(_ question: UnsafeMutablePointer<Question>) -> (FaultAction, UInt64) {
    if unsafe question.pointee.isGivenUp { return unsafe (.poison, question.pointee.count) }
    let pgoff = unsafe question.pointee.pgoff
    var look = unsafe look(question, pgoff)
    let action = unsafe action(question, pgoff, look)
    var length = unsafe alike(question, look, action, from: 0)
    while unsafe length < question.pointee.count {
      look = unsafe self.look(question, pgoff + length)
      if unsafe self.action(question, pgoff + length, look) != action { break }
      length += unsafe alike(question, look, action, from: length)
    }
    return (action, length)
  }

  /// How many pages, one at least, need the same action as the one at `offset`, which looks like this.
  @inline(__always)
  private func alike(
    _ question: UnsafeMutablePointer<Question>, _ look: PageLook, _ action: FaultAction,
    from offset: UInt64
  ) -> UInt64 {
    let count = unsafe question.pointee.count - offset
    guard count > 1, unsafe !question.takesAlong || question.isUnwanted else { return 1 }
    let pgoff = unsafe question.pointee.pgoff + offset
    let length = unsafe run(
      of: look, question.pointee.region, question.pointee.backing, from: pgoff, atMost: count)
    // Known zeroes are asked about what is to be filled alone: other memory may lie beyond the object.
    guard action == .fill || action == .fillZero,
      let zeroes = unsafe question.pointee.instance!.pointee.zeroes
    else { return length }
    let end = pgoff + length
    return max(
      1,
      action == .fill
        ? zeroes.unknown(from: pgoff, before: end) : zeroes.known(from: pgoff, before: end))
  }

  @inline(__always)
  mutating func action(_ question: UnsafeMutablePointer<Question>, _ pgoff: UInt64) -> FaultAction {
    unsafe action(question, pgoff, look(question, pgoff))
  }

  @inline(__always)
  private func look(_ question: UnsafeMutablePointer<Question>, _ pgoff: UInt64) -> PageLook {
    unsafe look(question.pointee.region, question.pointee.backing, pgoff)
  }

  @inline(__always)
  private func action(
    _ question: UnsafeMutablePointer<Question>, _ pgoff: UInt64, _ look: PageLook
  ) -> FaultAction {
    guard let region = unsafe question.pointee.region else {
      // A publish: only what is absent concerns it.
      switch look.backing! {
      case .absent: return unsafe question.pointee.instance!.isKnownZero(pgoff) ? .fillZero : .fill
      case .filling: return .wait
      case .present, .punched: return .mapCached
      }
    }
    let state = look.region
    var action = unsafe decide(question.pointee.kind, region.pointee.shape, state, look.backing)
    if action == .fill, unsafe question.pointee.instance!.isKnownZero(pgoff) { action = .fillZero }
    return unsafe question.pointee.wanted.contains(pgoff) ? action : action.forNobody(state)
  }

  /// Moves what lies behind the first `length` pages into a question of its own.
  mutating func split(
    _ question: UnsafeMutablePointer<Question>, at length: UInt64
  ) -> UnsafeMutablePointer<Question>? {
    let rest = unsafe question.pointee.count - length
    let pgoff = unsafe question.pointee.pgoff + length
    unsafe question.pointee.count = length
    guard let other = unsafe questions.take() else {
      unsafe wake(question.pointee.region, pgoff, rest)
      if let order = unsafe question.pointee.order {
        unsafe addFailure(to: order, rest)
        unsafe addPiece(to: order)
        unsafe settle(order, rest)
      }
      return nil
    }
    unsafe copyPlace(of: question, to: other)
    unsafe other.pointee.pgoff = pgoff
    unsafe other.pointee.count = rest
    if unsafe other.isUnwanted {
      unsafe other.pointee.access = uffd_access.prefetch.rawValue
    }
    unsafe other.pointee.order = unsafe question.pointee.order
    if let order = unsafe question.pointee.order { unsafe addPiece(to: order) }
    unsafe other.pointee.isGivenUp = unsafe question.pointee.isGivenUp
    unsafe other.pointee.born = unsafe question.pointee.born
    unsafe other.pointee.attempts = unsafe question.pointee.attempts
    unsafe other.pointee.absences = unsafe question.pointee.absences
    return unsafe other
  }

  /// Makes a question about the same pages.
  mutating func copyPlace(
    of question: UnsafeMutablePointer<Question>, to other: UnsafeMutablePointer<Question>
  ) {
    unsafe other.pointee.kind = unsafe question.pointee.kind
    unsafe other.pointee.access = unsafe question.pointee.access
    unsafe other.pointee.region = unsafe question.pointee.region
    unsafe other.pointee.instance = unsafe question.pointee.instance
    unsafe other.pointee.backing = unsafe question.pointee.backing
    unsafe other.pointee.pgoff = unsafe question.pointee.pgoff
    unsafe other.pointee.count = unsafe question.pointee.count
    unsafe other.pointee.wanted = unsafe question.pointee.wanted
  }

  @inline(__always)
  private mutating func act(_ action: FaultAction, _ question: UnsafeMutablePointer<Question>) {
    switch action {
    case .fill: unsafe fill(question)
    case .fillZero: unsafe fillZero(question)
    case .zero: unsafe zero(question)
    case .lookUp: unsafe lookUp(question)
    case .mapCached: unsafe mapCached(question)
    case .wait: unsafe awaitOther(question)
    case .evict: unsafe evict(question)
    case .refuse: unsafe giveUp(question, .stray)
    case .poison: unsafe giveUp(question, nil)
    case .leave: unsafe shed(question)
    }
  }

  /// Ends a question whose pages are settled.
  @inline(__always)
  mutating func end(_ question: UnsafeMutablePointer<Question>) {
    if let order = unsafe question.pointee.order {
      unsafe settle(order, question.pointee.count)
    } else if unsafe question.pointee.born != 0, unsafe !question.isUnwanted {
      unsafe noteLatency(question)
    }
    unsafe questions.end(question)
  }

  /// A fault that was put off has ended.
  @inline(never)
  private func noteLatency(_ question: UnsafeMutablePointer<Question>) {
    guard let region = unsafe question.pointee.region else { return }
    let elapsed = unsafe monotonicNanoseconds() - min(monotonicNanoseconds(), question.pointee.born)
    unsafe region.pointee.session.pointee.latency.record(elapsed, weight: 1)
  }

  /// Wakes the threads that sleep on these pages; they ask again and tell the new truth.
  mutating func wake(
    _ region: UnsafeMutablePointer<RegionRecord>?, _ pgoff: UInt64, _ count: UInt64
  ) {
    guard let region = unsafe region else { return }
    let start = unsafe region.address(of: pgoff - region.pointee.firstPgoff)
    unsafe calls.wake(start, length: count << region.pointee.granuleShift)
  }
}

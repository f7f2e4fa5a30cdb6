// SPDX-License-Identifier: Apache-2.0
// Questions that wait: every one has a timer of ours, whatever else may bring it back.
import UffdPluginABI

/// What a parked question waits for.
enum Waiting {
  /// The address space to stop changing. EAGAIN outlives the reading of the event that caused it.
  case kernel
  /// Another question to publish the page.
  case published
  /// The provider's answer: BUSY.
  case provider
  /// Memory, a limit or a source to recover.
  case shortage
  /// Better times, under the policy `hold`.
  case held

  /// First and longest time between two tries, in nanoseconds.
  var backoff: (first: UInt64, longest: UInt64) {
    switch self {
    case .kernel, .shortage: (100_000, 5_000_000)
    case .published: (200_000, 5_000_000)
    case .provider: (1_000_000, 100_000_000)
    case .held: (100_000_000, 1_000_000_000)
    }
  }
}

/// A failure that is tried again before it counts.
enum Shortage {
  case memory, limit, io

  var tries: UInt32 {
    switch self {
    case .memory: 6
    case .limit: 2
    case .io: 5
    }
  }
}

extension Reader {
  /// Lets a question wait.
  mutating func park(_ question: UnsafeMutablePointer<Question>, _ waiting: Waiting) {
    if waiting != .provider, unsafe question.takesAlong, unsafe !question.mayWait(waiting) {
      return unsafe shed(question)
    }
    let now = monotonicNanoseconds()
    if unsafe question.pointee.born == 0 { unsafe question.pointee.born = now }
    let (first, longest) = waiting.backoff
    let backoff = unsafe min(max(question.pointee.backoff * 2, first), longest)
    unsafe question.pointee.backoff = backoff
    unsafe question.pointee.due = now + backoff
    unsafe question.pointee.waiting = waiting
    unsafe question.pointee.phase = waiting == .provider ? .busy : .timed
    unsafe questions.activate(question)
    counters.add(.putOff)
  }

  /// Tries again after a shortage, a few times with growing pauses; then gives up.
  mutating func retryLater(_ question: UnsafeMutablePointer<Question>, _ shortage: Shortage) {
    if unsafe question.takesAlong { return unsafe shed(question) }
    unsafe unclaim(question)
    unsafe question.pointee.attempts += 1
    if unsafe question.pointee.attempts > shortage.tries {
      return unsafe giveUp(question, .shortage(shortage))
    }
    unsafe park(question, .shortage)
    unsafe question.pointee.due += 10_000_000 << UInt64(question.pointee.attempts - 1)
  }

  /// Gives a question to a worker.
  @inline(never)
  mutating func hand(_ question: UnsafeMutablePointer<Question>) {
    let instance = unsafe question.pointee.instance!
    if unsafe question.pointee.born == 0 { unsafe question.pointee.born = monotonicNanoseconds() }
    unsafe question.pointee.phase = .working
    unsafe questions.activate(question)
    let session = unsafe question.pointee.region?.pointee.session ?? local
    unsafe instance.submit(
      .ask(question, instance, port),
      question.pointee.order != nil || question.isUnwanted
        ? .background : .demand(UInt(bitPattern: session)))
  }

  mutating func nanosecondsToNextTimer() -> Int64 {
    let now = monotonicNanoseconds()
    var next = UInt64.max
    for index in 0..<questions.activeCount {
      let question = unsafe questions.slots + Int(questions.active[index])
      switch unsafe question.pointee.phase {
      case .timed, .busy: next = unsafe min(next, min(question.pointee.due, limit(question)))
      case .working: next = unsafe min(next, limit(question))
      case .free, .asking, .abandoned: break
      }
    }
    if next == UInt64.max { return -1 }
    return next > now ? Int64(min(next - now, 3_600_000_000_000)) : 0
  }

  /// How long pages that nobody waits for may take. Long before the deadline of a fault that came
  /// meanwhile: it has waited for them, and asks for itself then.
  private static let patienceWithFetches: UInt64 = 1_000_000_000

  /// When a question is given up, whatever it waits for.
  private mutating func limit(_ question: UnsafeMutablePointer<Question>) -> UInt64 {
    if unsafe question.isUnwanted {
      // A prefetch that was asked for may take longer.
      let most = unsafe question.pointee.order == nil ? Self.patienceWithFetches : UInt64.max
      return unsafe question.pointee.born + min(deadline / 4, most)
    }
    if unsafe policy == .hold || question.pointee.isGivenUp { return UInt64.max }
    let (limit, overflow) = unsafe question.pointee.born.addingReportingOverflow(deadline)
    return overflow ? UInt64.max : limit
  }

  /// Looks at every parked question whose time has come, or that may have become answerable.
  @inline(never)
  mutating func revisitQuestions() {
    for index in port.takeFinished() { unsafe finished(questions.slots + Int(index)) }
    let now = monotonicNanoseconds()
    let somethingPublished = hasPublished
    hasPublished = false
    // Backwards: ending a question moves the last one into its place.
    var index = questions.activeCount - 1
    while index >= 0 {
      defer { index -= 1 }
      guard index < questions.activeCount else { continue }
      let question = unsafe questions.slots + Int(questions.active[index])
      unsafe attend(question)
      switch unsafe question.pointee.phase {
      case .timed:
        if unsafe now >= limit(question) {
          unsafe resume(question)
          unsafe timedOut(question)
        } else if unsafe now >= question.pointee.due
          || (somethingPublished && question.pointee.waiting == .published)
        {
          unsafe resume(question)
          if unsafe !wasServed(question) { unsafe work(question) }
        }
      case .busy:
        if unsafe now >= limit(question) {
          unsafe cancel(question)
          unsafe unclaim(question)
          unsafe resume(question)
          unsafe timedOut(question)
        } else if unsafe questions.takeKick(question) || now >= question.pointee.due {
          unsafe askAgain(question)
        }
      case .working:
        if unsafe now >= limit(question) { unsafe abandon(question, .deadline) }
      case .free, .asking, .abandoned: break
      }
    }
  }

  /// The deadline has come. A page that its client gave back meanwhile needs no provider: it is zero.
  private mutating func timedOut(_ question: UnsafeMutablePointer<Question>) {
    let action = unsafe action(question, question.pointee.pgoff)
    if action == .zero || action == .fillZero {
      // With a deadline of its own: past the old one its timer would be over before it is set.
      unsafe question.pointee.born = 0
      return unsafe work(question)
    }
    unsafe giveUp(question, .deadline)
  }

  private mutating func resume(_ question: UnsafeMutablePointer<Question>) {
    unsafe question.pointee.phase = .asking
  }

  /// Asks a busy provider again, with the same ticket and the claims still held.
  private mutating func askAgain(_ question: UnsafeMutablePointer<Question>) {
    unsafe resume(question)
    if unsafe question.pointee.instance!.isBroken {
      unsafe unclaim(question)
      return unsafe giveUp(question, .brokenProvider)
    }
    if unsafe question.pointee.purpose == .lookUp { return unsafe work(question) }
    if let region = unsafe question.pointee.region {
      let page = unsafe question.pointee.pgoff - region.pointee.firstPgoff
      let state = unsafe region.pointee.states.region(page)
      if state == .discarded || state == .poisoned {
        // Nobody wants the answer any more.
        unsafe cancel(question)
        unsafe unclaim(question)
        return unsafe work(question)
      }
    }
    unsafe question.pointee.accountStatus = .ok
    unsafe question.pointee.instance!.pointee.isInline ? askHere(question) : hand(question)
  }

  /// A worker has come back.
  mutating func finished(_ question: UnsafeMutablePointer<Question>) {
    unsafe attend(question)
    // Only when all is undone or done may the instance be closed.
    let instance = unsafe question.pointee.instance!
    defer { unsafe instance.inFlight.add(~0) }
    if unsafe question.pointee.phase == .abandoned {
      unsafe unaccount(question, from: 0)
      unsafe putBack(question)
      unsafe unclaim(question)
      return unsafe questions.end(question)
    }
    unsafe resume(question)
    switch unsafe question.pointee.purpose {
    case .fill:
      if let staging = unsafe question.pointee.staging {
        unsafe conclude(question, question.pointee.status, staging, false)
      } else {
        unsafe failed(question, question.pointee.status)
      }
    case .account: unsafe account(question, false)
    case .lookUp: unsafe lookedUp(question, question.pointee.status)
    case .warm: unsafe work(question)
    }
  }

  /// Stops waiting for a worker: its pages are settled now, its answer is undone when it comes.
  mutating func abandon(_ question: UnsafeMutablePointer<Question>, _ reason: GivingUp?) {
    unsafe cancel(question)
    unsafe question.pointee.phase = .abandoned
    unsafe questions.disown(question)
    if unsafe question.isUnwanted { return unsafe leaveBehind(question) }
    let order = unsafe question.pointee.order
    unsafe question.pointee.order = nil
    if let reason {
      if let substitute = unsafe questions.take() {
        unsafe copyPlace(of: question, to: substitute)
        unsafe substitute.pointee.order = unsafe order
        unsafe action(substitute, substitute.pointee.pgoff) == .zero
          ? work(substitute) : giveUp(substitute, reason)
      } else if let region = unsafe question.pointee.region {
        // No slot is left to retry from: the threads ask again, and meet the same end then.
        unsafe wake(region, question.pointee.pgoff, question.pointee.count)
        reporter.tooManyQuestions()
        if let order = unsafe order { unsafe settle(order, question.pointee.count) }
      }
    } else if let order = unsafe order {
      unsafe settle(order, question.pointee.count)
    }
    unsafe question.pointee.region = nil
  }

  /// Tells the provider that an answer is not wanted any more. From this thread whatever the thread
  /// model: the contract says so, or a hook that hangs could not be told.
  mutating func cancel(_ question: UnsafeMutablePointer<Question>) {
    let instance = unsafe question.pointee.instance!
    unsafe instance.pointee.cancel?(instance.pointee.handle, questions.ticket(question))
  }
}

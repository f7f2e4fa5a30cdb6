// SPDX-License-Identifier: Apache-2.0
// What a prefetch does to a provider's source before a page is asked
// for: it says what will be needed (will_need), and makes resident what would be lent, so that the disk
// works on many pages at once and never under a reader.
import Synchronization
import UffdPluginABI

/// The source of one fill of listed pages, made ready by the instance's workers in bounded steps, one after
/// the other; faults come in between. The reader fills what is ready.
@safe final class Preparation: @unchecked Sendable {
  let instance: UnsafeMutablePointer<InstanceRecord>
  private let ranges: [Range<UInt64>]
  private let port: ReaderPort
  /// Granules below this one are ready.
  private let ready = Atomic<UInt64>(0)
  private let isCancelled = Atomic<Bool>(false)
  /// Where a rate holds the fill back, the source is not read faster: a step that is too far ahead of the fill
  /// hands nothing in, and the reader does when it has come nearer. All bits set: none is held.
  private let isHeldBack: Bool
  private let held = Atomic<UInt64>(.max)
  private let filled: Atomic<UInt64>
  /// What is lent is made resident here, for it might wait for a disk.
  private let populates: Atomic<Bool>
  // The worker's own: a step begins when the one before has ended.
  private var announced: Cursor
  private var populated: Cursor
  private var hasAsked = false

  /// A place in the list.
  private struct Cursor {
    var range = 0
    var pgoff: UInt64
    /// Granules of the list that lie before it.
    var passed: UInt64 = 0
  }

  /// At most so much is announced and not yet resident: a fault's own read stands behind it in the disk's
  /// queue.
  private static let leadBytes: UInt64 = 8 << 20
  /// What one step does at most: calls of will_need, runs that it makes resident, and bytes of one of
  /// either.
  private static let stepCalls = 128
  private static let stepRuns = 32
  private static let stepBytes: UInt64 = 1 << 20
  /// A fault may wait for the worker: a step that takes so long does no more calls.
  private static let stepNanoseconds: UInt64 = 5_000_000
  /// Runs with no more than this between them are announced as one: reading it costs less than another
  /// request.
  private static let bridgeBytes: UInt64 = 16 << 10

  /// What `backing` has is not asked for; that looks at every granule, so a reader passes nil. Nil: the provider
  /// has no source that could be made ready, or nothing is needed of it.
  init?(
    _ instance: UnsafeMutablePointer<InstanceRecord>,
    _ backing: UnsafeMutablePointer<BackingRecord>?, _ ranges: [Range<UInt64>], _ port: ReaderPort
  ) {
    let ranges =
      unsafe backing.map { unsafe unpublished(ranges, $0.pointee.states) } ?? ranges
    let lends = unsafe instance.pointee.isInline && instance.pointee.lends
    let announces = unsafe instance.pointee.willNeed != nil
    guard lends || announces, let first = ranges.first else {
      return nil
    }
    populates = Atomic(lends)
    unsafe self.instance = unsafe instance
    isHeldBack = unsafe instance.pointee.owner.host.pace.isLimited
    filled = Atomic(first.lowerBound)
    self.ranges = ranges
    self.port = port
    announced = Cursor(pgoff: first.lowerBound)
    populated = announced
  }

  // MARK: For the reader

  func isReady(_ pgoff: UInt64) -> Bool { pgoff < ready.load(ordering: .acquiring) }
  /// Whether what is ready need not be waited for.
  var isResident: Bool { populates.load(ordering: .relaxed) }
  func cancel() { isCancelled.store(true, ordering: .relaxed) }

  /// The fill has come to `pgoff`: what was held back goes on if that is near enough.
  func goOn(behind pgoff: UInt64) {
    guard isHeldBack else { return }
    filled.store(pgoff, ordering: .sequentiallyConsistent)
    let place = held.load(ordering: .sequentiallyConsistent)
    guard place != .max, !isTooFar(place),
      held.compareExchange(
        expected: place, desired: .max, ordering: .acquiringAndReleasing
      ).exchanged
    else { return }
    submit()
  }

  private func isTooFar(_ place: UInt64) -> Bool {
    let behind = filled.load(ordering: .sequentiallyConsistent)
    let granule = unsafe instance.pointee.granule
    return place > behind && (place - behind) > Self.leadBytes / granule
  }

  /// Gives the next step to the workers, behind whatever faults need of them.
  func submit() { unsafe instance.submit(.prepare(self), .background) }

  // MARK: For a worker

  /// One step. True: there is more to do.
  func step() -> Bool {
    if isCancelled.load(ordering: .relaxed) { return false }
    let moment = monotonicNanoseconds() + Self.stepNanoseconds
    if unsafe instance.pointee.willNeed != nil {
      announce(moment)
    } else {
      announced = Cursor(range: ranges.count, pgoff: .max, passed: .max)
    }
    if populates.load(ordering: .relaxed) { populate(moment) } else { populated = announced }
    let isDone = populated.range >= ranges.count
    ready.store(isDone ? .max : populated.pgoff, ordering: .releasing)
    if !isDone, isHeldBack, isTooFar(populated.pgoff) {
      held.store(populated.pgoff, ordering: .sequentiallyConsistent)
      // The reader looks at what is held from now on, and whether it is near enough by now.
      port.nudge()
      return false
    }
    port.nudge()
    return !isDone
  }

  /// will_need for some runs ahead, until `moment` at most.
  private func announce(_ moment: UInt64) {
    let granule = unsafe instance.pointee.granule
    let isLimited = isHeldBack || populates.load(ordering: .relaxed)
    var calls = 0
    while calls < Self.stepCalls {
      skipZeroes(&announced)
      guard announced.range < ranges.count else { return }
      // Where nothing is made resident the provider knows best what its source can take.
      if isLimited, announced.passed > populated.passed,
        (announced.passed - populated.passed) * granule >= Self.leadBytes
      {
        return
      }
      let start = announced.pgoff
      let limit = start + max(1, Self.stepBytes / granule)
      var end = data(from: start, before: min(ranges[announced.range].upperBound, limit))
      var next = announced.range + 1
      while next < ranges.count, ranges[next].lowerBound < limit,
        (ranges[next].lowerBound - end) * granule <= Self.bridgeBytes
      {
        // Not over what is known to be zero, though: nothing is read there.
        let stop = min(ranges[next].upperBound, limit)
        let reached = data(from: end, before: stop)
        guard reached > ranges[next].lowerBound else { break }
        end = reached
        if end < stop { break }
        next += 1
      }
      unsafe instance.pointee.willNeed!(instance.pointee.contentHandle, start, end - start)
      advance(&announced, to: end)
      calls += 1
      if monotonicNanoseconds() > moment { return }
    }
  }

  /// Where what follows on `pgoff` begins to be known as zero, `end` at the latest.
  private func data(from pgoff: UInt64, before end: UInt64) -> UInt64 {
    guard let zeroes = unsafe instance.pointee.zeroes else { return end }
    return pgoff + zeroes.unknown(from: pgoff, before: end)
  }

  /// What is known to be zero needs no source.
  private func skipZeroes(_ cursor: inout Cursor) {
    guard let zeroes = unsafe instance.pointee.zeroes else { return }
    while cursor.range < ranges.count {
      let known = zeroes.known(from: cursor.pgoff, before: ranges[cursor.range].upperBound)
      if known == 0 { return }
      advance(&cursor, to: cursor.pgoff + known)
    }
  }

  private func advance(_ cursor: inout Cursor, to end: UInt64) {
    while cursor.range < ranges.count, cursor.pgoff < end {
      let stop = min(end, ranges[cursor.range].upperBound)
      cursor.passed += stop - cursor.pgoff
      cursor.pgoff = stop
      if stop == ranges[cursor.range].upperBound {
        cursor.range += 1
        if cursor.range < ranges.count { cursor.pgoff = ranges[cursor.range].lowerBound }
      }
    }
  }

  /// Asks for some runs, as they will be asked for again, and waits until what is lent is in memory, until
  /// `moment` at most.
  private func populate(_ moment: UInt64) {
    let granule = unsafe instance.pointee.granule
    let room = max(granule, Self.stepBytes)
    let arena = unsafe instance.pointee.arena.takeUnretainedValue()
    guard let staging = unsafe arena.allocate(room) else {
      return populates.store(false, ordering: .relaxed)
    }
    defer { unsafe arena.free(staging) }
    var runs = 0
    var bytes: UInt64 = 0
    while runs < Self.stepRuns, bytes < Self.stepBytes {
      skipZeroes(&populated)
      guard populated.passed < announced.passed, populated.range < ranges.count else { return }
      // The first answer tells whether it lends at all, and is not worth much otherwise.
      let most = hasAsked ? max(1, (room - bytes) / granule) : 1
      hasAsked = true
      let end = min(ranges[populated.range].upperBound, populated.pgoff + most)
      let count = data(from: populated.pgoff, before: end) - populated.pgoff
      let ticket = LooseTicket.next()
      let answer = unsafe instance.askToLend(populated.pgoff, count, ticket, staging, room)
      guard answer.isUseful else {
        // If it said BUSY, the fill asks with a ticket that can be kicked.
        if answer.count == 0 { unsafe instance.pointee.cancel?(instance.pointee.handle, ticket) }
        return populates.store(false, ordering: .relaxed)
      }
      // What cannot be had now the fill finds out by itself.
      let taken = answer.count == 0 ? count : answer.count
      advance(&populated, to: populated.pgoff + taken)
      runs += 1
      bytes += taken * granule
      if monotonicNanoseconds() > moment { return }
    }
  }
}

/// What of ascending ranges a backing does not have: only that is asked for.
func unpublished(_ ranges: [Range<UInt64>], _ states: PageStates) -> [Range<UInt64>] {
  let isPresent = BackingPage.present.rawValue
  var result: [Range<UInt64>] = []
  for range in ranges {
    let present = states.count(ofBits: isPresent, in: range)
    if present == 0 { result.append(range) }
    if present == 0 || present == UInt64(range.count) { continue }
    var next = range.lowerBound
    while next < range.upperBound {
      let start = next
      while next < range.upperBound, states.bits(next) != isPresent { next += 1 }
      if start < next { result.append(start..<next) }
      next += 1
    }
  }
  return result
}

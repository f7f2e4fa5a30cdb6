// SPDX-License-Identifier: Apache-2.0
// A queue that threads wait on: what a worker takes its jobs from.
import CLinux
import Glibc

/// Where a job waits.
enum WorkLane {
  /// Before all else, in the order of arrival: it takes back what was done, and nothing may be done anew before.
  case undo
  /// Somebody waits for it. Who, is a number: everybody has a turn.
  case demand(UInt)
  /// When nothing else is there, but every eighth time at least, in the order of arrival.
  case background
}

/// Jobs in three lanes, any number of producers and consumers (pthread_mutex_t, pthread_cond_t). Never more
/// than so many of the background are done at a time, so that a thread is left for what is not.
@safe final class WorkQueue<Job>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var undo = Ring<Job>()
  private var demand = FairLane<Job>()
  private var background = Ring<Job>()
  /// Jobs taken while one of the background could have been.
  private var passed = 0
  /// Jobs of the background that are being done, and how many may be.
  private var underWay = 0
  private let mostUnderWay: Int
  private var isClosed = false
  private static var mostPassed: Int { 7 }

  init(mostInBackground: Int = 1) {
    mostUnderWay = mostInBackground
    unsafe mutex = .allocate(capacity: 1)
    unsafe condition = .allocate(capacity: 1)
    unsafe pthread_mutex_init(mutex, nil)
    // Timed waits count on CLOCK_MONOTONIC, which nobody sets back.
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    unsafe pthread_cond_init(condition, &attributes)
    unsafe pthread_condattr_destroy(&attributes)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  /// False if the queue is closed: nobody will do the job.
  @discardableResult
  func put(_ job: Job, _ lane: WorkLane = .demand(0)) -> Bool {
    unsafe pthread_mutex_lock(mutex)
    if isClosed {
      unsafe pthread_mutex_unlock(mutex)
      return false
    }
    switch lane {
    case .undo: undo.put(job)
    case .demand(let key): demand.put(job, of: key)
    case .background: background.put(job)
    }
    unsafe pthread_mutex_unlock(mutex)
    // Behind the lock: who wakes on this CPU at once would find it held.
    unsafe pthread_cond_signal(condition)
    return true
  }

  /// Somebody waits for what waits in the background, if that `isMeant`: it is in his line from now on. What a
  /// thread has begun is not found.
  func promote(to key: UInt, where isMeant: (Job) -> Bool) {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    var index = 0
    while index < background.count {
      guard isMeant(background[index]) else {
        index += 1
        continue
      }
      demand.put(background.remove(at: index), of: key)
      unsafe pthread_cond_signal(condition)
    }
  }

  /// Whether a job of the background waits that `isMeant`.
  func waits(where isMeant: (Job) -> Bool) -> Bool {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    for index in 0..<background.count where isMeant(background[index]) { return true }
    return false
  }

  /// Does jobs until the queue is closed and empty. For a thread that does nothing else.
  func work(_ perform: (Job) -> Void) {
    while let (job, isBackground) = next(until: nil) {
      perform(job)
      if isBackground { endInBackground() }
    }
  }

  /// Waits for a job, at most until `limit` (nanoseconds of CLOCK_MONOTONIC; nil: for ever). Nil: the time is
  /// over, or the queue is closed and empty.
  func take(until limit: UInt64? = nil) -> Job? {
    guard let (job, isBackground) = next(until: limit) else { return nil }
    if isBackground { endInBackground() }
    return job
  }

  private func next(until limit: UInt64?) -> (job: Job, isBackground: Bool)? {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while undo.isEmpty && demand.isEmpty && !mayTakeBackground {
      if isClosed { return nil }
      guard let limit else {
        unsafe pthread_cond_wait(condition, mutex)
        continue
      }
      var time = timespec(tv_sec: Int(limit / 1_000_000_000), tv_nsec: Int(limit % 1_000_000_000))
      if unsafe pthread_cond_timedwait(condition, mutex, &time) != 0,
        monotonicNanoseconds() >= limit
      {
        return nil
      }
    }
    if !undo.isEmpty { return (undo.take(), false) }
    if mayTakeBackground, demand.isEmpty || passed >= Self.mostPassed {
      passed = 0
      underWay += 1
      return (background.take(), true)
    }
    // Nothing is owed to a lane where nothing waits, or of which enough is being done.
    if mayTakeBackground { passed += 1 } else if background.isEmpty { passed = 0 }
    return (demand.take(), false)
  }

  private var mayTakeBackground: Bool { !background.isEmpty && underWay < mostUnderWay }

  private func endInBackground() {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    underWay -= 1
    unsafe pthread_cond_signal(condition)
  }

  func close() {
    unsafe pthread_mutex_lock(mutex)
    isClosed = true
    unsafe pthread_cond_broadcast(condition)
    unsafe pthread_mutex_unlock(mutex)
  }
}

/// Something that happens once and is waited for.
final class Completion: Sendable {
  private let queue = WorkQueue<Void>()
  // The plainest lane: each request to a reader has a completion of its own.
  func signal() { queue.put((), .undo) }
  func wait() { _ = queue.take() }

  /// Waits at most until `limit`; false if it did not happen by then.
  func wait(until limit: UInt64) -> Bool { queue.take(until: limit) != nil }
}

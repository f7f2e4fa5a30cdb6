// SPDX-License-Identifier: Apache-2.0
// A queue that threads wait on: what a worker takes its jobs from.
import CLinux
import Glibc

/// Two lanes, each first in, first out, any number of producers and consumers (pthread_mutex_t,
/// pthread_cond_t). What is in the background comes when nothing else is there, but every eighth time at
/// least.
@safe final class WorkQueue<Job>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var jobs = Lane()
  private var background = Lane()
  /// Jobs taken since one of the background was.
  private var passed = 0
  private var isClosed = false
  private static var mostPassed: Int { 7 }

  private struct Lane {
    private var jobs: [Job] = []
    private var head = 0
    var isEmpty: Bool { head == jobs.count }

    mutating func put(_ job: Job) { jobs.append(job) }

    mutating func take() -> Job {
      let job = jobs[head]
      head += 1
      if head == jobs.count {
        jobs.removeAll(keepingCapacity: true)
        head = 0
      }
      return job
    }
  }

  init() {
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
  func put(_ job: Job, inBackground: Bool = false) -> Bool {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    if isClosed { return false }
    if inBackground { background.put(job) } else { jobs.put(job) }
    unsafe pthread_cond_signal(condition)
    return true
  }

  /// Waits for a job, at most until `limit` (nanoseconds of CLOCK_MONOTONIC; nil: for ever). Nil: the time
  /// is over, or the queue is closed and empty.
  func take(until limit: UInt64? = nil) -> Job? {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while jobs.isEmpty && background.isEmpty {
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
    if jobs.isEmpty || (passed >= Self.mostPassed && !background.isEmpty) {
      passed = 0
      return background.take()
    }
    passed += 1
    return jobs.take()
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
  func signal() { queue.put(()) }
  func wait() { _ = queue.take() }

  /// Waits at most until `limit`; false if it did not happen by then.
  func wait(until limit: UInt64) -> Bool { queue.take(until: limit) != nil }
}

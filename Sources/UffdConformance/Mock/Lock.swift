// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc

/// A mutual exclusion and something to wait for (pthread_mutex_t, pthread_cond_t). Not recursive.
@safe final class Lock: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>

  init() {
    unsafe mutex = .allocate(capacity: 1)
    unsafe condition = .allocate(capacity: 1)
    unsafe pthread_mutex_init(mutex, nil)
    unsafe pthread_cond_init(condition, nil)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  func held<Result>(_ body: () throws -> Result) rethrows -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return try body()
  }

  /// Wakes whoever waits. Call with the lock held.
  func signal() { unsafe pthread_cond_broadcast(condition) }

  /// Gives the lock away until `signal` or for about so long. Call with the lock held.
  func wait(nanoseconds: UInt64) {
    var limit = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &limit)
    let total = UInt64(limit.tv_nsec) + nanoseconds
    limit.tv_sec += Int(total / 1_000_000_000)
    limit.tv_nsec = Int(total % 1_000_000_000)
    unsafe pthread_cond_timedwait(condition, mutex, &limit)
  }
}

/// Runs `body` on `count` threads at once, and waits for all. The first error of any is thrown.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
  let lock = Lock()
  let failures = FirstError()
  var threads: [WorkerThread] = []
  for index in 0..<count {
    threads.append(
      try WorkerThread {
        do { try body(index) } catch { lock.held { failures.first = failures.first ?? error } }
      })
  }
  for thread in threads { thread.join() }
  if let error = failures.first { throw error }
}

private final class FirstError: @unchecked Sendable {
  var first: (any Error)?
}

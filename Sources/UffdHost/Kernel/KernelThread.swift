// SPDX-License-Identifier: Apache-2.0
// Threads of our own: a reader blocks in poll(2) and a worker in a provider, which no thread of
// Swift's cooperative pool may do.
import CLinux
import Glibc

/// A joinable thread that runs one closure. The corresponding C call is pthread_create(3).
package final class KernelThread: @unchecked Sendable {
  // Written once before the object is shared.
  private var handle = pthread_t()

  private final class Body: Sendable {
    let name: String
    let run: @Sendable () -> Void
    init(_ name: String, _ run: @escaping @Sendable () -> Void) {
      self.name = name
      self.run = run
    }
  }

  /// Starts the thread. Signals are blocked in it, but for those of a crash: they
  /// belong to the program's own threads.
  package init(_ name: String, _ run: @escaping @Sendable () -> Void) throws(Errno) {
    let body = unsafe Unmanaged.passRetained(Body(name, run))
    var all = sigset_t()
    var before = sigset_t()
    unsafe sigfillset(&all)
    for crash in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT] {
      unsafe sigdelset(&all, crash)
    }
    unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
    let result = unsafe pthread_create(
      &handle, nil,
      { argument in
        let body = unsafe Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue()
        unsafe clinux_set_thread_name(body.name)
        body.run()
        return nil
      }, body.toOpaque())
    unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
    if result != 0 {
      unsafe body.release()
      throw Errno(result)
    }
  }

  /// Waits until the closure has returned. Called once.
  package func join() { pthread_join(handle, nil) }
  /// Nobody will wait for it. Called once, instead of `join`.
  package func detach() { pthread_detach(handle) }
}

/// Gives the CPU away; for a spin that may wait for a preempted thread.
func yieldThread() { sched_yield() }

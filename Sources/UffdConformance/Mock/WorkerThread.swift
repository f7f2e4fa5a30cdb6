// SPDX-License-Identifier: Apache-2.0
import CHookTrap
import Glibc

/// A joinable thread that may call hooks (pthread_create(3)).
final class WorkerThread {
  private var handle = pthread_t()

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  init(_ run: @escaping @Sendable () -> Void) throws {
    let body = unsafe Unmanaged.passRetained(Body(run))
    let result = unsafe pthread_create(
      &handle, nil,
      { argument in
        let body = unsafe Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue()
        hook_trap_thread()
        body.run()
        hook_trap_thread_end()
        return nil
      }, body.toOpaque())
    if result != 0 {
      unsafe body.release()
      throw NotApplicable("this system gives no more threads")
    }
  }

  func join() { pthread_join(handle, nil) }
}

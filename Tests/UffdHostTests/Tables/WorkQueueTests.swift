// SPDX-License-Identifier: Apache-2.0
// The queue of the workers: what is waited for first, the background never starved and never everywhere.

import Synchronization
import Testing

@testable import UffdHost

@Suite("The workers' queue")
struct WorkQueueTests {
  @Test("the background comes when nothing else is there, and every eighth time")
  func lanes() {
    let queue = WorkQueue<Int>()
    for job in 100..<104 { queue.put(job, inBackground: true) }
    for job in 0..<20 { queue.put(job) }
    var order: [Int] = []
    while order.count < 24 { order.append(queue.take()!) }
    let expected =
      Array(0..<7) + [100] + Array(7..<14) + [101] + Array(14..<20) + [102, 103]
    #expect(order == expected)
    queue.close()
    #expect(queue.take() == nil)
    #expect(!queue.put(1, inBackground: true))
  }

  @Test("a thread is left for what is waited for, and closing finishes everything")
  func limit() throws {
    let queue = WorkQueue<Int>(mostInBackground: 2)
    let state = Mutex((background: 0, most: 0, done: 0))
    let threads = try (0..<4).map { index in
      try KernelThread("test-worker-\(index)") {
        queue.work { job in
          state.withLock { state in
            if job >= 100 { state.background += 1 }
            state.most = max(state.most, state.background)
          }
          sleepBriefly()
          state.withLock { state in
            if job >= 100 { state.background -= 1 }
            state.done += 1
          }
        }
      }
    }
    for job in 0..<60 { queue.put(job % 2 == 0 ? job : 100 + job, inBackground: job % 2 == 1) }
    queue.close()
    for thread in threads { thread.join() }
    state.withLock { state in
      #expect(state.done == 60)
      #expect(state.most <= 2)
    }
  }
}

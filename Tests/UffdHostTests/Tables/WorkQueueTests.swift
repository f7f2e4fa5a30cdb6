// SPDX-License-Identifier: Apache-2.0
// The queue of the workers: what is waited for first, the background never starved and never everywhere.

import Glibc
import Synchronization
import Testing

@testable import UffdHost

@Suite("The workers' queue")
struct WorkQueueTests {
  @Test("the background comes when nothing else is there, and every eighth time")
  func lanes() {
    let queue = WorkQueue<Int>()
    for job in 100..<104 { queue.put(job, .background) }
    for job in 0..<20 { queue.put(job) }
    var order: [Int] = []
    while order.count < 24 { order.append(queue.take()!) }
    let expected =
      Array(0..<7) + [100] + Array(7..<14) + [101] + Array(14..<20) + [102, 103]
    #expect(order == expected)
    queue.close()
    #expect(queue.take() == nil)
    #expect(!queue.put(1, .background))
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
    for job in 0..<60 {
      if job % 2 == 0 { queue.put(job) } else { queue.put(100 + job, .background) }
    }
    queue.close()
    for thread in threads { thread.join() }
    state.withLock { state in
      #expect(state.done == 60)
      #expect(state.most <= 2)
    }
  }

  @Test("who waits has a turn, however much others brought; what one brought stays in order")
  func fair() {
    let queue = WorkQueue<Int>()
    for job in 0..<100 { queue.put(job, .demand(7)) }
    queue.put(1000, .demand(8))
    queue.put(1001, .demand(8))
    queue.put(2000, .demand(9))
    var order = (0..<7).map { _ in queue.take()! }
    #expect(order == [0, 1000, 2000, 1, 1001, 2, 3])
    // Who comes back waits no longer than anybody else.
    queue.put(2001, .demand(9))
    order = (0..<3).map { _ in queue.take()! }
    #expect(order == [4, 2001, 5])
    for job in 6..<100 { #expect(queue.take() == job) }
    // Many come and go.
    for round in 0..<100 as Range<UInt> {
      for key in 0..<50 as Range<UInt> {
        for job in 0..<3 { queue.put(Int(key) * 10 + job, .demand(round * 31 + key)) }
      }
      let all = (0..<150).map { _ in queue.take()! }
      #expect(all == (0..<3).flatMap { job in (0..<50).map { $0 * 10 + job } })
    }
  }

  @Test("what takes back comes first, and what somebody waits for after all before the background")
  func outOfTurn() {
    let queue = WorkQueue<Int>()
    for job in 0..<5 { queue.put(job) }
    for job in 100..<110 { queue.put(job, .background) }
    queue.put(500, .undo)
    queue.put(501, .undo)
    #expect(queue.take() == 500 && queue.take() == 501)
    #expect(queue.waits { $0 == 103 } && !queue.waits { $0 == 3 })
    queue.promote(to: 0) { $0 == 103 || $0 == 109 }
    queue.promote(to: 0) { $0 == 99 }
    #expect(!queue.waits { $0 == 103 })
    var order: [Int] = []
    while order.count < 15 { order.append(queue.take()!) }
    #expect(order == [0, 1, 2, 3, 4, 103, 109, 100, 101, 102, 104, 105, 106, 107, 108])
  }

  @Test("a thread that may not take more of the background is woken for what became more")
  func promoted() throws {
    let queue = WorkQueue<Int>(mostInBackground: 1)
    let done = Mutex<[Int]>([])
    let threads = try (0..<2).map { index in
      try KernelThread("test-worker-\(index)") {
        queue.work { job in
          while job == 100, !done.withLock({ $0.contains(101) }) { sleepBriefly() }
          done.withLock { $0.append(job) }
        }
      }
    }
    queue.put(100, .background)
    #expect(eventually { !queue.waits { $0 == 100 } })
    queue.put(101, .background)
    sleepNanoseconds(2_000_000)
    #expect(queue.waits { $0 == 101 })
    queue.promote(to: 1) { $0 == 101 }
    #expect(eventually { done.withLock { $0 } == [101, 100] })
    queue.close()
    for thread in threads { thread.join() }
  }

  @Test("a ring of any length, through any order")
  func ring() {
    var ring = Ring<Int>()
    var model: [Int] = []
    var random = SystemRandomNumberGenerator()
    for job in 0..<20_000 {
      switch Int.random(in: 0..<5, using: &random) {
      case 0...2 where model.count < 50:
        ring.put(job)
        model.append(job)
      case 3 where !model.isEmpty:
        let index = Int.random(in: 0..<model.count, using: &random)
        if ring.remove(at: index) != model.remove(at: index) { Issue.record("\(index)") }
      default:
        if !model.isEmpty, ring.take() != model.removeFirst() { Issue.record("\(job)") }
      }
      if ring.count != model.count { Issue.record("\(ring.count)") }
    }
    #expect((0..<model.count).map { ring[$0] } == model)
  }

  @Test("a queue that is never empty does not grow")
  func memory() async {
    await #expect(processExitsWith: .success) {
      func residentBytes() -> Int {
        let pages = Belongings.text("/proc/self/statm").split(separator: " ")
        return Int(pages[1])! * 4096
      }
      let queue = WorkQueue<Int>()
      for job in 0..<100 { queue.put(job) }
      let before = residentBytes()
      for job in 100..<4_000_000 {
        queue.put(job)
        if queue.take() != job - 100 { abort() }
      }
      #expect(residentBytes() - before < 8 << 20, "\(residentBytes() - before) bytes")
    }
  }

  @Test("the background is not owed what was taken while nothing waited there")
  func owed() {
    let queue = WorkQueue<Int>()
    for job in 0..<20 { queue.put(job) }
    for job in 0..<10 { #expect(queue.take() == job) }
    queue.put(100, .background)
    for job in 10..<17 { #expect(queue.take() == job) }
    #expect(queue.take() == 100)
    #expect(queue.take() == 17)
  }
}

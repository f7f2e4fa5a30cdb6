// SPDX-License-Identifier: Apache-2.0
// A thread that touches served memory the way a program would, takes the time of each first touch, and
// compares what it saw.
import Glibc
import Synchronization
import UffdHost
import UffdReport

/// What the touching threads of a run share.
@safe final class TouchPlan: Sendable {
  let regions: [Region]
  let order: AccessOrder
  let threads: Int
  let granule: UInt64
  let expectation: Expectation?
  private let stopWord = Atomic<Bool>(false)
  private let endedCount = Atomic<Int>(0)
  private let failureCount = Atomic<Int>(0)
  /// After so many failed touches a run ends: it has failed, and each may have cost a deadline.
  private static let mostFailures = 16

  init(
    _ regions: [Region], _ order: AccessOrder, threads: Int, granule: UInt64,
    expectation: Expectation?
  ) {
    self.regions = regions
    self.order = order
    self.threads = threads
    self.granule = granule
    self.expectation = expectation
  }

  var isStopped: Bool { stopWord.load(ordering: .relaxed) }
  func stop() { stopWord.store(true, ordering: .relaxed) }
  var ended: Int { endedCount.load(ordering: .acquiring) }
  func threadEnded() { endedCount.add(1, ordering: .releasing) }
  func touchFailed() {
    if failureCount.add(1, ordering: .relaxed).newValue >= Self.mostFailures { stop() }
  }
}

/// What one thread found.
struct TouchResult: Sendable {
  var comparedBytes: UInt64 = 0
  var wrongGranules: UInt64 = 0
  var firstWrongOffset: UInt64?
  var errors: [String] = []
}

/// One touching thread.
@safe final class Toucher: @unchecked Sendable {
  private let plan: TouchPlan
  private let index: Int
  private(set) var latency = LatencyHistogram()
  private(set) var result = TouchResult()
  private let thread = Mutex<KernelThread?>(nil)
  /// Zipf comes back to the same granules; only a first touch may fault and is timed and compared.
  private var seen: [Bool]

  init(_ plan: TouchPlan, _ index: Int) {
    self.plan = plan
    self.index = index
    seen =
      plan.order.pattern == .zipf
      ? [Bool](repeating: false, count: Int(plan.order.count)) : []
  }

  func start() throws(HostError) {
    do {
      let started = try KernelThread("uffd-touch-\(index)") { [self] in
        touchAll()
        plan.threadEnded()
      }
      thread.withLock { $0 = started }
    } catch {
      plan.threadEnded()
      throw HostError(.system, "a touching thread cannot be started (\(error.name)); use fewer")
    }
  }

  func join() { thread.withLock { $0 }?.join() }

  private func touchAll() {
    let scratch = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Int(plan.granule), alignment: 4096)
    defer { unsafe scratch.deallocate() }
    for granule in plan.order.share(ofThread: index, of: plan.threads) {
      if plan.isStopped { return }
      if !seen.isEmpty {
        if seen[Int(granule)] { continue }
        seen[Int(granule)] = true
      }
      for region in plan.regions {
        unsafe touch(
          region.memory.baseAddress! + Int(granule * plan.granule), granule, scratch)
      }
    }
  }

  private func touch(
    _ address: UnsafeMutableRawPointer, _ granule: UInt64, _ scratch: UnsafeMutableRawBufferPointer
  ) {
    let before = monotonicNanoseconds()
    let signal = unsafe GuardedAccess.touch(address)
    if signal != 0 { return failed(granule, signal) }
    latency.record(monotonicNanoseconds() - before)
    guard let expectation = plan.expectation else { return }
    switch unsafe expectation.compare(address, granule: granule, scratch) {
    case .equal: break
    case .differs(let offset):
      result.wrongGranules += 1
      let place = granule * plan.granule + offset
      result.firstWrongOffset = min(result.firstWrongOffset ?? place, place)
    case .signal(let number): return failed(granule, number)
    }
    result.comparedBytes += plan.granule
  }

  private func failed(_ granule: UInt64, _ signal: Int32) {
    // SIGSEGV after a stop: the region was taken away to wake this thread.
    if plan.isStopped { return }
    if result.errors.count < 4 {
      let name = signal == SIGBUS ? "SIGBUS: the page could not be provided" : "signal \(signal)"
      result.errors.append("granule \(granule) raised \(name)")
    }
    plan.touchFailed()
  }
}

// SPDX-License-Identifier: Apache-2.0
// The thread that reads the faults of a session and installs their pages. All of the fault path runs
// here, on plain data at fixed addresses: no allocation, no reference count, no lock but the exclusion.
//
//   wait -> read a batch -> apply events -> serve faults -> come back to what was put off -> fill a piece
//
// Reader+Messages  reads, applies events, merges faults      Reader+Install  COPY, ZEROPAGE, CONTINUE
// Reader+Serve     decides a page, dispatches                Reader+GiveUp   POISON, kill, hold
// Reader+Fill      asks the provider, publishes, undoes      Reader+Waiting  parked questions
// Reader+Control   requests of the control thread, fills
import Glibc

/// What a reader is started with.
struct ReaderSetup: Sendable {
  let calls: UffdCalls
  let table: TablePointer
  let exclusion: Exclusion
  let port: ReaderPort
  let policy: FailurePolicy
  let canPoison: Bool
  let deadline: UInt64
  let reporter: Reporter
  /// Messages taken by one read(2): 16 for one reader; with several, one, so that each gets its share.
  let batch: Int
  /// First buffers, made before the thread starts: a thread that exists serves.
  let staging: Mapping
  let zeroes: Mapping
}

/// The region table that the readers of a session share.
@safe struct TablePointer: @unchecked Sendable {
  let table: UnsafeMutablePointer<RegionTable>
}

/// The state of one reader thread. Nothing outside the thread touches it.
@safe struct Reader: ~Copyable {
  let calls: UffdCalls
  let table: UnsafeMutablePointer<RegionTable>
  let exclusion: Exclusion
  let port: ReaderPort
  let counters: Counters
  let policy: FailurePolicy
  let canPoison: Bool
  let deadline: UInt64
  let reporter: Reporter
  let batch: Int

  var questions: QuestionTable
  /// Room for one batch of messages, and for the merged faults of it.
  let messages: UnsafeMutableRawPointer
  let faults: UnsafeMutablePointer<MergedFault>
  let pollSlots: UnsafeMutablePointer<pollfd>
  /// Where a provider that fills writes to, and what COPY of zeroes reads from; as long as the largest
  /// run so far.
  var staging: Mapping
  var zeroes: Mapping
  var fills: [FillOrder] = []
  var isStopping = false
  /// One fault in 64 is timed.
  var sampleTick: UInt32 = 0
  /// A page was published since the parked questions were looked at.
  var hasPublished = false

  static let largestBatch = 16
  /// One install is at most this long, or one granule: an event's sender waits while a COPY runs.
  static let largestRun: UInt64 = 256 << 10

  init(_ setup: ReaderSetup) {
    calls = setup.calls
    unsafe table = unsafe setup.table.table
    exclusion = setup.exclusion
    port = setup.port
    counters = setup.port.counters
    policy = setup.policy
    canPoison = setup.canPoison
    deadline = setup.deadline
    reporter = setup.reporter
    batch = setup.batch
    questions = setup.port.questions
    staging = setup.staging
    zeroes = setup.zeroes
    unsafe messages = .allocate(byteCount: Self.largestBatch * UffdMessage.size, alignment: 64)
    unsafe faults = .allocate(capacity: Self.largestBatch)
    unsafe pollSlots = .allocate(capacity: 2)
  }

  deinit {
    unsafe messages.deallocate()
    unsafe faults.deallocate()
    unsafe pollSlots.deallocate()
  }

  /// Serves until the control thread says stop.
  mutating func run() {
    let bell = port.bellDescriptor
    while !isStopping {
      let ready = unsafe waitForWork(
        uffd: calls.fd, bell: bell, slots: pollSlots, nanoseconds: patience())
      if ready.messages { readMessages() }
      if ready.rung { answerRequests() }
      if questions.activeCount > 0 { revisitQuestions() }
      if !fills.isEmpty { fillPiece() }
      counters.set(.parkedNow, UInt64(questions.activeCount))
    }
  }

  /// How long the reader may sleep: for ever if nothing waits on it, else until the next timer.
  private func patience() -> Int64 {
    if canFill { return 0 }
    if questions.activeCount == 0 { return -1 }
    return nanosecondsToNextTimer()
  }

  /// Buffers for runs of `length` bytes; grows them for the first region with such a granule.
  mutating func ensureBuffers(_ length: UInt64) -> Bool {
    if UInt64(staging.length) >= length { return true }
    guard let larger = try? Mapping.scratch(length), let more = try? Mapping.scratch(length) else {
      return false
    }
    staging = larger
    zeroes = more
    return true
  }
}

// SPDX-License-Identifier: Apache-2.0
// The side of a reader that other threads see: they ring its bell, hand it answers, and ask it to change
// its table. Everything else of a reader belongs to its own thread.
import Synchronization

/// A change that a reader makes for the control thread, between two batches of messages.
enum ControlRequest: Sendable {
  /// Add a region. One reader of a session does it, with reading excluded.
  case insert(RecordPointer)
  /// Take the region out of the table.
  case remove(UInt64)
  /// Forget every question about this region. Every reader does it.
  case forget(UInt64)
  /// Fill these pages in the background.
  case fill(FillOrder)
  /// Stop watching a region that was filled.
  case release(RegionRelease)
  /// Serve a client from now on.
  case adopt(Client)
  /// Clients that share a memfd with those of another reader take the exclusion from now on. Every reader
  /// does it.
  case exclude
  /// Do this for a client on its reader; nothing, if it has ended.
  case change(Client, ClientChange)
  case stop
}

/// A region record on its way to a reader.
@safe struct RecordPointer: @unchecked Sendable {
  let region: UnsafeMutablePointer<RegionRecord>
}

/// Mailboxes of one reader. Any thread may use it.
final class ReaderPort: @unchecked Sendable {
  private let bell: Bell
  private let requests = Mutex<[(ControlRequest, Completion)]>([])
  private let finished = Mutex<[Int32]>([])
  private let memory: Mapping
  /// Shared with the reader: other threads use only `kick` and `ticket`.
  let questions: QuestionTable
  /// Of what happens in this process.
  let counters: Counters
  let latency: LatencyRecord
  let index: Int
  /// Clients that this reader serves. Written by it alone.
  let clientCount: AtomicWord

  init(index: Int) throws(HostError) {
    do {
      bell = try Bell()
      memory = try Mapping.scratch(
        QuestionTable.bytes + Counters.bytes + LatencyRecord.bytes + 8)
    } catch {
      throw HostError(.system, "a reader cannot be set up (\(error.name))")
    }
    self.index = index
    questions = unsafe QuestionTable(memory.base, reader: UInt64(index))
    let afterQuestions = unsafe memory.base + Int(QuestionTable.bytes)
    counters = unsafe Counters(afterQuestions)
    latency = unsafe LatencyRecord(afterQuestions + Int(Counters.bytes))
    let last = unsafe afterQuestions + Int(Counters.bytes + LatencyRecord.bytes)
    clientCount = unsafe AtomicWord(last.assumingMemoryBound(to: UInt64.self))
  }

  var bellDescriptor: Int32 { bell.fd }

  func ticket(_ question: UnsafeMutablePointer<Question>) -> UInt64 {
    unsafe questions.ticket(question)
  }

  /// A provider says that the answer is ready.
  func kick(_ ticket: UInt64) {
    if questions.kick(ticket) { bell.ring() }
  }

  /// There may be more to fill than there was.
  func nudge() { bell.ring() }

  /// A worker is done with a question.
  func finish(_ question: UnsafeMutablePointer<Question>) {
    let isFirst = finished.withLock {
      unsafe $0.append(Int32(question - questions.slots))
      return $0.count == 1
    }
    // The reader takes all of them after it has cleared the bell.
    if isFirst { bell.ring() }
  }

  /// Asks the reader to do something and waits until it is done.
  func perform(_ request: ControlRequest) {
    let done = Completion()
    requests.withLock { $0.append((request, done)) }
    bell.ring()
    done.wait()
  }

  /// Reader only: what has arrived since the last look.
  func takeRequests() -> [(ControlRequest, Completion)] {
    bell.clear()
    return requests.withLock { list in
      let taken = list
      list = []
      return taken
    }
  }

  func takeFinished() -> [Int32] {
    finished.withLock { list in
      let taken = list
      list = []
      return taken
    }
  }
}

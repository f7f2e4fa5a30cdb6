// SPDX-License-Identifier: Apache-2.0
// Threads that run hooks which may not run on a reader: of providers that block, that are serial, or whose
// lent memory has to be made resident first. A worker fetches; it never installs.
import UffdPluginABI

/// What a worker does.
@safe enum Job {
  /// Ask the question in the slot and give the answer to the reader of `port`.
  case ask(UnsafeMutablePointer<Question>, UnsafeMutablePointer<InstanceRecord>, ReaderPort)
  case put(UnsafeMutablePointer<InstanceRecord>, uffd_folio, pgoff: UInt64)
  case filemapRemove(UnsafeMutablePointer<InstanceRecord>, pgoff: UInt64, count: UInt64)
  case discard(UnsafeMutablePointer<InstanceRecord>, pgoff: UInt64, count: UInt64)
  /// One step of what makes a source ready for a prefetch.
  case prepare(Preparation)
  /// Ask for extents.
  case scan(ZeroScan)
  /// Anything of the control thread that must run on this thread (configure, close).
  case call(@Sendable () -> Void)
}

/// A fixed set of workers over one queue. One worker is the thread model SERIAL or PER_INSTANCE.
final class Executor: @unchecked Sendable {
  private let queue: WorkQueue<Job>
  private var threads: [KernelThread] = []

  init(threads count: Int, name: String) throws(HostError) {
    let queue = WorkQueue<Job>(mostInBackground: max(1, count * 3 / 4))
    self.queue = queue
    for _ in 0..<count {
      do {
        threads.append(
          try KernelThread(name) {
            queue.work { perform($0) }
          })
      } catch {
        queue.close()
        throw HostError(.system, "a worker thread cannot be started (\(error.name))")
      }
    }
  }

  func submit(_ job: Job, _ lane: WorkLane) { queue.put(job, lane) }

  /// Somebody waits for granules of a backing: questions about them that wait in the background do not any more.
  func promote(
    _ pgoffs: Range<UInt64>, of backing: UnsafeMutablePointer<BackingRecord>, to key: UInt
  ) {
    queue.promote(to: key) { job in
      // Nobody changes what a question is about while a worker is to ask it.
      guard case .ask(let question, _, _) = job, unsafe question.pointee.backing == backing
      else { return false }
      return unsafe question.pointee.pgoff < pgoffs.upperBound
        && question.pointee.pgoff + question.pointee.count > pgoffs.lowerBound
    }
  }

  /// The same for a question.
  func promote(_ question: UnsafeMutablePointer<Question>, to key: UInt) {
    queue.promote(to: key) { unsafe Self.asks($0, question) }
  }

  /// Whether a question waits in the background.
  func isWaiting(_ question: UnsafeMutablePointer<Question>) -> Bool {
    queue.waits { unsafe Self.asks($0, question) }
  }

  private static func asks(_ job: Job, _ question: UnsafeMutablePointer<Question>) -> Bool {
    guard case .ask(let other, _, _) = job else { return false }
    return unsafe other == question
  }

  /// Runs `body` on the executor and waits for its result. Nil: the executor is closed, or it did not come
  /// to it, or to an end, within `nanoseconds`; it may still do so later.
  func run<Result: Sendable>(
    nanoseconds: UInt64? = nil, _ body: @escaping @Sendable () -> Result
  ) -> Result? {
    let box = ResultBox<Result>()
    let done = Completion()
    let job = Job.call {
      box.value = body()
      done.signal()
    }
    guard queue.put(job) else { return nil }
    if let nanoseconds {
      guard done.wait(until: monotonicNanoseconds() &+ nanoseconds) else { return nil }
    } else {
      done.wait()
    }
    return box.value
  }

  /// Finishes the queued jobs and ends the threads. Threads that hang in a hook are left behind.
  func close(waiting: Bool = true) {
    queue.close()
    if waiting { for thread in threads { thread.join() } }
  }

  private final class ResultBox<Value: Sendable>: @unchecked Sendable {
    var value: Value?
  }
}

private func perform(_ job: Job) {
  switch job {
  case .ask(let question, let instance, let port):
    switch unsafe question.pointee.purpose {
    case .fill: unsafe askForContent(question, instance, port)
    case .lookUp:
      unsafe question.pointee.status = unsafe instance.pointee.lookup!(
        instance.pointee.handle, question.pointee.pgoff, port.ticket(question))
    case .account: unsafe account(question, instance)
    case .warm: unsafe warm(question, instance, port)
    }
    unsafe port.finish(question)
  case .put(let instance, var folio, let pgoff):
    unsafe instance.pointee.put!(instance.pointee.contentHandle, &folio, pgoff)
    unsafe instance.inFlight.add(~0)
  case .filemapRemove(let instance, let pgoff, let count):
    unsafe instance.pointee.filemapRemove!(instance.pointee.handle, pgoff, count)
    unsafe instance.inFlight.add(~0)
  case .discard(let instance, let pgoff, let count):
    unsafe instance.pointee.discard!(instance.pointee.handle, pgoff, count)
    unsafe instance.inFlight.add(~0)
  case .prepare(let preparation):
    if preparation.step() { preparation.submit() }
    unsafe preparation.instance.inFlight.add(~0)
  case .scan(let scan):
    if scan.step() { scan.submit() }
    unsafe scan.instance.inFlight.add(~0)
  case .call(let body):
    body()
  }
}

/// alloc_folio, then what has to happen before the reader may install: lent memory that may fault is made
/// resident here, where waiting for a disk hurts nobody, and filemap_add is asked.
private func askForContent(
  _ question: UnsafeMutablePointer<Question>, _ instance: UnsafeMutablePointer<InstanceRecord>,
  _ port: ReaderPort
) {
  let count = unsafe question.pointee.count
  let granule = unsafe instance.pointee.granule
  unsafe question.pointee.folio = unsafe emptyFolio()
  var folio = unsafe emptyFolio()
  let arena = unsafe instance.pointee.arena.takeUnretainedValue()
  guard let staging = unsafe arena.allocate(count * granule) else {
    unsafe question.pointee.status = .noMemory
    return
  }
  var request = unsafe folioRequest(
    pgoff: question.pointee.pgoff, count: count, granule: granule,
    access: question.pointee.access, ticket: port.ticket(question), staging: staging,
    stagingLength: count * granule)
  let status = unsafe instance.pointee.alloc!(instance.pointee.contentHandle, &request, &folio)
  unsafe question.pointee.status = status
  unsafe question.pointee.staging = unsafe staging
  guard status == .ok else { return }
  unsafe question.pointee.folio = unsafe folio
  // What else may be wrong with the answer is the reader's to judge.
  guard unsafe folio.count > 0, unsafe folio.count <= count else { return }
  if unsafe folio.kind == .lent, unsafe folio.residence != .resident,
    let memory = unsafe folio.memory
  {
    unsafe makeResident(memory, length: min(folio.length, folio.count * granule))
  }
  // For a PARALLEL provider the reader does this, right before it installs.
  if unsafe !instance.pointee.isDirect {
    unsafe account(question, instance, granules: folio.count)
  }
}

/// filemap_add. A refusal is for the reader to act on; the answer itself stands.
private func account(
  _ question: UnsafeMutablePointer<Question>, _ instance: UnsafeMutablePointer<InstanceRecord>,
  granules: UInt64? = nil
) {
  guard let add = unsafe instance.pointee.filemapAdd, unsafe question.pointee.claimed,
    unsafe question.pointee.backing?.pointee.isForeign == false
  else { return }
  unsafe question.pointee.accountStatus = unsafe add(
    instance.pointee.handle, question.pointee.pgoff, granules ?? question.pointee.count)
  if unsafe question.pointee.accountStatus == .ok {
    unsafe question.pointee.addedCount = unsafe granules ?? question.pointee.count
  }
}

/// Learns which memory a provider would lend for the surroundings of a fault, and makes it resident.
private func warm(
  _ question: UnsafeMutablePointer<Question>, _ instance: UnsafeMutablePointer<InstanceRecord>,
  _ port: ReaderPort
) {
  // A question before this one was about the same 2 MiB.
  if unsafe instance.isWarm(question.pointee.pgoff) { return }
  let granule = unsafe instance.pointee.granule
  let granules = unsafe instance.pointee.warmGranules
  var next = unsafe question.pointee.pgoff / granules * granules
  let end = unsafe min(next + granules, instance.pointee.count)
  let ticket = unsafe port.ticket(question)
  let arena = unsafe instance.pointee.arena.takeUnretainedValue()
  // Whatever happens here, the fault is asked again as if it had helped: a COPY finds what is wrong.
  defer { unsafe instance.setWarm(question.pointee.pgoff) }
  guard let staging = unsafe arena.allocate(granules * granule) else { return }
  defer { unsafe arena.free(staging) }
  while next < end {
    // What is known to be zero is not asked for.
    let count = unsafe instance.pointee.zeroes?.unknown(from: next, before: end) ?? end - next
    if count == 0 {
      next += 1
      continue
    }
    let answer = unsafe instance.askToLend(next, count, ticket, staging, granules * granule)
    if answer.count == 0 { break }
    next += answer.count
  }
}

/// What came of a question that was asked for the sake of the source.
struct SourceAnswer {
  /// Granules that the answer covers; 0: there was none to be used.
  var count: UInt64 = 0
  /// Memory was lent that may have to come from a disk, or there is nothing but zeroes. Else asking in
  /// advance is no use: the provider fills, or has its own memory, or answers later.
  var isUseful = true
}

extension UnsafeMutablePointer<InstanceRecord> {
  /// Asks for content only to learn which memory would be lent, and waits until that is in memory.
  func askToLend(
    _ pgoff: UInt64, _ count: UInt64, _ ticket: UInt64, _ staging: UnsafeMutableRawPointer,
    _ room: UInt64
  ) -> SourceAnswer {
    let granule = unsafe pointee.granule
    var folio = unsafe emptyFolio()
    var request = unsafe folioRequest(
      pgoff: pgoff, count: min(count, room / granule), granule: granule,
      access: uffd_access.prefetch.rawValue, ticket: ticket, staging: staging,
      stagingLength: room)
    let status = unsafe pointee.alloc!(pointee.contentHandle, &request, &folio)
    guard status == .ok, unsafe folio.count > 0, unsafe folio.count <= count else {
      return SourceAnswer(isUseful: status != .busy)
    }
    if unsafe folio.kind == .lent, let memory = unsafe folio.memory {
      if unsafe folio.residence != .resident {
        unsafe makeResident(memory, length: min(folio.length, folio.count * granule))
      }
      unsafe pointee.put?(pointee.contentHandle, &folio, pgoff)
    } else if unsafe folio.kind == .staged, let memory = unsafe folio.memory,
      unsafe memory != UnsafeRawPointer(staging)
    {
      unsafe freeStaging(memory)
    }
    return unsafe SourceAnswer(
      count: folio.count,
      isUseful: folio.kind == .zero || (folio.kind == .lent && folio.residence != .resident))
  }
}

/// A zeroed answer with its size preset, as the contract promises.
@inline(__always)
func emptyFolio() -> uffd_folio {
  var folio = unsafe uffd_folio()
  unsafe folio.size = unsafe UInt32(MemoryLayout<uffd_folio>.size)
  return unsafe folio
}

@inline(__always)
func folioRequest(
  pgoff: UInt64, count: UInt64, granule: UInt64, access: UInt64, ticket: UInt64,
  staging: UnsafeMutableRawPointer, stagingLength: UInt64
) -> uffd_folio_request {
  unsafe uffd_folio_request(
    size: UInt32(MemoryLayout<uffd_folio_request>.size), reserved: 0, pgoff: pgoff, count: count,
    granule: granule, access: uffd_access(rawValue: access), ticket: ticket, staging: staging,
    staging_length: stagingLength)
}

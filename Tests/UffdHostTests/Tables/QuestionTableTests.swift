// SPDX-License-Identifier: Apache-2.0
// Slots and tickets: a kick is sticky, and a stale ticket kicks nobody.

import Testing
import UffdPluginABI

@testable import UffdHost

@safe private final class Table {
  let memory: Mapping
  var questions: QuestionTable

  init(reader: UInt64 = 3) throws {
    memory = try Mapping.scratch(QuestionTable.bytes)
    questions = unsafe QuestionTable(memory.base, reader: reader)
  }
}

/// A session with a region, and nothing behind them: who asks looks at nothing else.
private func somebody(
  isClient: Bool
) -> (SessionPointer, UnsafeMutablePointer<RegionRecord>) {
  let nowhere = unsafe UnsafeMutableRawPointer(bitPattern: 4096)!
  let session = SessionPointer.allocate(capacity: 1)
  unsafe session.initialize(
    to: SessionRecord(
      calls: UffdCalls(fd: -1, table: .kernel),
      exclusion: Exclusion(
        AtomicWord(nowhere.assumingMemoryBound(to: UInt64.self)), .oneReader),
      counters: Counters(nowhere), latency: LatencyRecord(nowhere), touches: nil,
      client: isClient ? .fromOpaque(nowhere) : nil))
  let region = UnsafeMutablePointer<RegionRecord>.allocate(capacity: 1)
  unsafe region.initialize(
    to: RegionRecord(
      session: session, start: 4096, length: 4096, granule: 4096, granuleShift: 12,
      pageSize: 4096, firstPgoff: 0,
      shape: RegionShape(shared: false, fillsBacking: false, arrivesFilled: false),
      isHugetlb: false, states: PageStates(nowhere, count: 1),
      instance: nowhere.assumingMemoryBound(to: InstanceRecord.self), backing: nil, id: 1))
  return unsafe (session, region)
}

@Suite("Questions and tickets")
struct QuestionTableTests {
  @Test("a ticket names its reader and stays the same while the question lives")
  func tickets() throws {
    let table = try Table(reader: 63)
    let first = unsafe table.questions.take()!
    let second = unsafe table.questions.take()!
    let ticket = unsafe table.questions.ticket(first)
    #expect(ticket >> 24 & 0xff == 63)
    #expect(unsafe ticket != table.questions.ticket(second))
    unsafe table.questions.activate(first)
    #expect(unsafe table.questions.ticket(first) == ticket)
    _ = table.questions.kick(ticket)
    #expect(unsafe table.questions.ticket(first) == ticket)
    #expect(unsafe table.questions.takeKick(first))
    #expect(unsafe table.questions.ticket(first) == ticket)
  }

  @Test("a kick is kept until it is taken, once, whatever the phase")
  func sticky() throws {
    let table = try Table()
    let question = unsafe table.questions.take()!
    let ticket = unsafe table.questions.ticket(question)
    #expect(unsafe !table.questions.takeKick(question))
    // Before BUSY was returned, and twice.
    #expect(table.questions.kick(ticket))
    #expect(table.questions.kick(ticket))
    unsafe question.pointee.phase = .busy
    #expect(unsafe table.questions.takeKick(question))
    #expect(unsafe !table.questions.takeKick(question))
  }

  @Test(
    "a ticket of a question that has ended is stale for ever, and no kick outlives its question")
  func stale() throws {
    let table = try Table()
    var old: [UInt64] = []
    for _ in 0..<1000 {
      let question = unsafe table.questions.take()!
      let ticket = unsafe table.questions.ticket(question)
      #expect(!old.contains(ticket))
      for stale in old.suffix(20) { #expect(!table.questions.kick(stale)) }
      #expect(unsafe !table.questions.takeKick(question))
      if old.count % 2 == 0 { #expect(table.questions.kick(ticket)) }
      unsafe table.questions.end(question)
      #expect(!table.questions.kick(ticket))
      old.append(ticket)
    }
  }

  @Test("tickets that were never given out: zero, ones, a slot beyond the table")
  func wild() throws {
    let table = try Table()
    let question = unsafe table.questions.take()!
    let ticket = unsafe table.questions.ticket(question)
    for wild in [0, .max, ticket ^ 1 << 32, ticket + 1, ticket | 0xff_ffff, ticket ^ 1 << 63] {
      #expect(!table.questions.kick(wild) || wild >> 32 == 0)
    }
    #expect(unsafe !table.questions.takeKick(question))
  }

  @Test("every slot can be taken, none twice; a freed one comes back clean")
  func slots() throws {
    let table = try Table()
    var taken: [UnsafeMutablePointer<Question>] = unsafe []
    while let question = unsafe table.questions.take() { unsafe taken.append(question) }
    #expect(unsafe taken.count == QuestionTable.capacity)
    #expect(table.questions.isFull)
    #expect(unsafe Set(taken).count == QuestionTable.capacity)
    let one = unsafe taken[1234]
    unsafe one.pointee.claimed = true
    unsafe one.pointee.isGivenUp = true
    unsafe one.pointee.isZero = true
    unsafe one.pointee.attempts = 9
    unsafe one.pointee.born = 5
    unsafe one.pointee.backoff = 5
    unsafe one.pointee.addedCount = 3
    unsafe one.pointee.purpose = .warm
    unsafe one.pointee.accountStatus = .noMemory
    unsafe table.questions.end(one)
    let again = unsafe table.questions.take()!
    #expect(unsafe again == one)
    #expect(
      unsafe !again.pointee.claimed && !again.pointee.isGivenUp && !again.pointee.isZero
        && again.pointee.attempts == 0 && again.pointee.born == 0 && again.pointee.backoff == 0
        && again.pointee.addedCount == 0 && again.pointee.purpose == .fill
        && again.pointee.accountStatus == .ok && again.pointee.order == nil
        && again.pointee.staging == nil)
  }

  @Test("the list of active questions stays dense through any order of ends")
  func active() throws {
    let table = try Table()
    var random = SystemRandomNumberGenerator()
    var model: Set<UnsafeMutablePointer<Question>> = unsafe []
    for _ in 0..<5000 {
      if unsafe model.count < 40 || Bool.random(using: &random) {
        let question = unsafe table.questions.take()!
        unsafe table.questions.activate(question)
        unsafe table.questions.activate(question)
        unsafe model.insert(question)
      } else if let question = unsafe model.randomElement(using: &random) {
        unsafe table.questions.end(question)
        unsafe model.remove(question)
      }
      #expect(unsafe table.questions.activeCount == model.count)
    }
    let listed = unsafe (0..<table.questions.activeCount).map {
      unsafe table.questions.slots + Int(table.questions.active[$0])
    }
    #expect(unsafe Set(listed) == model)
  }

  @Test("a client's open questions are counted until they end or it is gone")
  func counted() throws {
    let table = try Table()
    for isClient in [true, false] {
      let (session, region) = unsafe somebody(isClient: isClient)
      var taken: [UnsafeMutablePointer<Question>] = unsafe []
      for _ in 0..<10 {
        let question = unsafe table.questions.take()!
        unsafe question.pointee.region = unsafe region
        unsafe table.questions.activate(question)
        unsafe table.questions.activate(question)
        unsafe taken.append(question)
      }
      #expect(unsafe session.pointee.openQuestions == (isClient ? 10 : 0))
      unsafe table.questions.end(taken[3])
      // Abandoned: its region is not known any more when it ends.
      unsafe table.questions.disown(taken[4])
      unsafe taken[4].pointee.region = nil
      #expect(unsafe session.pointee.openQuestions == (isClient ? 8 : 0))
      unsafe table.questions.end(taken[4])
      for index in [0, 1, 2, 5, 6, 7, 8, 9] { unsafe table.questions.end(taken[index]) }
      #expect(unsafe session.pointee.openQuestions == 0 && table.questions.activeCount == 0)
    }
  }

  @Test("kicks from other threads while the reader asks again: each is seen")
  func concurrentKicks() throws {
    let table = try Table()
    let question = unsafe table.questions.take()!
    let ticket = unsafe table.questions.ticket(question)
    let shared = Shared(table.questions)
    let kicker = try KernelThread("kicker") {
      for _ in 0..<100_000 { _ = shared.value.kick(ticket) }
    }
    var seen = 0
    for _ in 0..<100_000 where unsafe table.questions.takeKick(question) { seen += 1 }
    kicker.join()
    if unsafe table.questions.takeKick(question) { seen += 1 }
    #expect(seen > 0)
    #expect(unsafe table.questions.ticket(question) == ticket)
    #expect(unsafe !table.questions.takeKick(question))
  }
}

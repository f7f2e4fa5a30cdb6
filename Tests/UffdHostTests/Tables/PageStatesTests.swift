// SPDX-License-Identifier: Apache-2.0
// Two bits a page: every transition, at every place in a word, alone and with others at work.

import CLinux
import Glibc
import Testing

@testable import UffdHost

/// A page-state table in memory of its own.
@safe private final class Table {
  let memory: UnsafeMutableRawPointer
  let states: PageStates

  init(_ count: UInt64) {
    let bytes = Int(PageStates.bytes(for: count))
    // A word more, to see that nothing is written behind the end.
    unsafe memory = .allocate(byteCount: bytes + 8, alignment: 8)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes + 8)
    states = unsafe PageStates(memory, count: count)
  }
  deinit { unsafe memory.deallocate() }

  var behind: UInt64 {
    unsafe memory.load(
      fromByteOffset: Int(PageStates.bytes(for: states.count)), as: UInt64.self)
  }
  var all: [UInt8] { (0..<states.count).map { states.bits($0) } }
}

/// Runs `body` on several threads at once and waits for them.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) throws {
  var threads: [KernelThread] = []
  for index in 0..<count {
    threads.append(try KernelThread("test-\(index)") { body(index) })
  }
  for thread in threads { thread.join() }
}

@Suite("Page states")
struct PageStatesTests {
  @Test("the size of a table", arguments: [(1, 8), (31, 8), (32, 8), (33, 16), (64, 16), (65, 24)])
  func sizes(_ count: UInt64, _ bytes: UInt64) {
    #expect(PageStates.bytes(for: count) == bytes)
  }

  @Test("every transition, in every place of a word, leaves the neighbours alone")
  func transitions() {
    for from in 0..<4 as Range<UInt8> {
      for to in 0..<4 as Range<UInt8> {
        for page in 0..<70 as Range<UInt64> {
          let table = Table(70)
          // Neighbours of all values.
          for other in 0..<70 as Range<UInt64> { table.states.setBits(other, UInt8(other % 4)) }
          var model = table.all
          table.states.setBits(page, from)
          model[Int(page)] = from
          #expect(table.all == model)
          table.states.setBits(page, to)
          model[Int(page)] = to
          #expect(table.all == model)
          table.states.setBits(page, from)
          #expect(!table.states.replaceBits(page, (from + 1) % 4, with: to))
          #expect(table.states.bits(page) == from)
          #expect(table.states.replaceBits(page, from, with: to))
          #expect(table.all == model)
          #expect(table.behind == 0)
        }
      }
    }
  }

  @Test("runs, against a plain array")
  func runs() {
    var random = SystemRandomNumberGenerator()
    for count in [1, 32, 33, 64, 200] as [UInt64] {
      let table = Table(count)
      var model = [UInt8](repeating: 0, count: Int(count))
      for _ in 0..<300 {
        let low = UInt64.random(in: 0...count, using: &random)
        let high = UInt64.random(in: low...count, using: &random)
        let bits = UInt8.random(in: 0..<4, using: &random)
        table.states.setBits(low..<high, bits)
        for page in low..<high { model[Int(page)] = bits }
        #expect(table.all == model)
        for value in 0..<4 as Range<UInt8> {
          #expect(table.states.count(ofBits: value) == UInt64(model.count { $0 == value }))
          // Also of a part, and of a part of a part.
          let run = model[Int(low)..<Int(high)].count { $0 == value }
          #expect(table.states.count(ofBits: value, in: low..<high) == UInt64(run))
          let part = PageStates(table.states, low..<high)
          #expect(part.count(ofBits: value, in: 0..<(high - low)) == UInt64(run))
        }
      }
      #expect(table.behind == 0)
    }
  }

  @Test("what is changed, and what is alike, in a range: against a plain array")
  func ranges() {
    var random = SystemRandomNumberGenerator()
    for count in [1, 31, 32, 33, 100] as [UInt64] {
      let table = Table(count + 5)
      // A view that begins in the middle of a word.
      let states = PageStates(table.states, 5..<(count + 5))
      for round in 0..<400 {
        // Long runs and short ones.
        let spread = UInt64(round % 40 + 1)
        for page in 0..<count where UInt64.random(in: 0..<spread, using: &random) == 0 {
          states.setBits(page, UInt8.random(in: 0..<4, using: &random))
        }
        let low = UInt64.random(in: 0..<count, using: &random)
        let high = UInt64.random(in: low...count, using: &random)
        let (old, new) = (
          UInt8.random(in: 0..<4, using: &random), UInt8.random(in: 0..<4, using: &random)
        )
        var model = (0..<count).map { states.bits($0) }
        let run = model[Int(low)..<Int(high)].prefix { $0 == old }.count
        #expect(states.run(ofBits: old, in: low..<high) == UInt64(run))
        states.replaceBits(low..<high, old, with: new)
        for page in Int(low)..<Int(high) where model[page] == old { model[page] = new }
        #expect((0..<count).map { states.bits($0) } == model)
        states.punchUnpublished(low..<high)
        for page in Int(low)..<Int(high) where model[page] < 2 {
          model[page] = BackingPage.punched.rawValue
        }
        #expect((0..<count).map { states.bits($0) } == model)
      }
      #expect((0..<5).allSatisfy { table.states.bits($0) == 0 } && table.behind == 0)
    }
  }

  @Test("the two vocabularies keep their values apart")
  func vocabularies() {
    let table = Table(8)
    for (page, state) in RegionPage.allCases.enumerated() {
      table.states.set(UInt64(page), state)
      #expect(table.states.region(UInt64(page)) == state)
    }
    for (page, state) in BackingPage.allCases.enumerated() {
      table.states.set(UInt64(page) + 4, state)
      #expect(table.states.backing(UInt64(page) + 4) == state)
    }
    let fresh = Table(1)
    #expect(fresh.states.region(0) == .unmapped)
    #expect(fresh.states.backing(0) == .absent)
  }

  @Test("pages of one word changed by several threads: no change is lost")
  func neighbours() throws {
    let table = Table(32)
    let states = table.states
    try onThreads(4) { thread in
      for round in 0..<20_000 {
        for page in stride(from: thread, to: 32, by: 4) {
          states.setBits(UInt64(page), UInt8((round + page) % 4))
        }
      }
    }
    for page in 0..<32 { #expect(states.bits(UInt64(page)) == UInt8((19_999 + page) % 4)) }
  }

  @Test("a claim has one winner")
  func claims() throws {
    let count: UInt64 = 40_000
    let table = Table(count)
    let states = table.states
    let wins = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    unsafe wins.initialize(to: 0)
    defer { unsafe wins.deallocate() }
    let won = unsafe AtomicWord(wins)
    let counter = Shared(won)
    try onThreads(4) { _ in
      for page in 0..<count where states.replace(page, .absent, with: .filling) {
        counter.value.add(1)
      }
    }
    #expect(won.acquired == count)
    #expect(states.count(ofBits: BackingPage.filling.rawValue) == count)
  }

  @Test("a page outside the table stops the process before it touches memory")
  func outside() async {
    await #expect(processExitsWith: .failure) {
      Table(33).states.setBits(33, 1)
    }
    await #expect(processExitsWith: .failure) {
      Table(33).states.setBits(30..<34, 1)
    }
  }

  @Test("a part of a table is a window on it: at every place, written and counted")
  func parts() {
    for lower in 0..<70 as Range<UInt64> {
      for length in [1, 2, 31, 32, 33, 64, 65, 100] as [UInt64] {
        let table = Table(200)
        for page in 0..<200 as Range<UInt64> { table.states.setBits(page, UInt8(page % 3)) }
        var model = table.all
        let part = PageStates(table.states, lower..<(lower + length))
        #expect(part.count == length)
        for bits in 0..<4 as Range<UInt8> {
          let expected = model[Int(lower)..<Int(lower + length)].count { $0 == bits }
          #expect(part.count(ofBits: bits) == UInt64(expected))
        }
        part.setBits(0..<length, 3)
        for page in lower..<(lower + length) { model[Int(page)] = 3 }
        #expect(table.all == model)
        #expect(table.behind == 0)
        // A part of a part.
        let inner = PageStates(part, (length - 1)..<length)
        inner.setBits(0, 1)
        #expect(table.states.bits(lower + length - 1) == 1)
      }
    }
  }

  @Test("a copy has the same states and is another table")
  func copies() {
    let table = Table(130)
    for page in 0..<130 as Range<UInt64> { table.states.setBits(page, UInt8(page * 7 % 4)) }
    let copy = Table(67)
    copy.states.copy(from: PageStates(table.states, 40..<107))
    for page in 0..<67 as Range<UInt64> {
      #expect(copy.states.bits(page) == table.states.bits(40 + page))
    }
    copy.states.setBits(0..<67, 0)
    #expect(table.states.bits(41) == UInt8(41 * 7 % 4))
  }
}

/// Something that several threads of a test may use at once.
struct Shared<Value>: @unchecked Sendable {
  let value: Value
  init(_ value: Value) { self.value = value }
}

// SPDX-License-Identifier: Apache-2.0
// How many pages a fault takes along: sequences of faults, and what follows from each.

import Testing

@testable import UffdHost

/// A region as far as the decision goes: its streams, its page states, and installs that always succeed.
@safe private final class Accesses {
  let memory: UnsafeMutablePointer<UInt64>
  let states: PageStates
  let streams: AccessStreams

  init(_ count: UInt64 = 100_000) {
    let words = Int(PageStates.bytes(for: count) / 8)
    unsafe memory = .allocate(capacity: words)
    unsafe memory.initialize(repeating: 0, count: words)
    streams = AccessStreams()
    states = unsafe PageStates(memory, count: count)
  }
  deinit {
    streams.free()
    unsafe memory.deallocate()
  }

  /// What a fault on `page` settles: it must be missing. Clipped as a reader does.
  func fault(_ page: UInt64, count: UInt64 = 1, _ limits: AroundLimits = Accesses.copy)
    -> ClosedRange<UInt64>
  {
    #expect(states.region(page) == .unmapped, "no fault can be on \(page)")
    let choice = streams.choose(page..<(page + count), limits, states)
    #expect(choice.pages.lowerBound <= page && choice.pages.upperBound >= page + count)
    #expect(choice.pages.count <= Int(max(limits.most, count)))
    var (low, high) = (page, page + count)
    while low > choice.pages.lowerBound, states.region(low - 1) == .unmapped { low -= 1 }
    while high < min(choice.pages.upperBound, states.count), states.region(high) == .unmapped {
      high += 1
    }
    streams.note(choice, low..<high)
    states.setBits(low..<high, RegionPage.mapped.rawValue)
    return low...(high - 1)
  }

  /// The pages on which a reader of `pages` in this order faults.
  func faults(_ pages: some Sequence<UInt64>, _ limits: AroundLimits = Accesses.copy) -> [UInt64] {
    pages.filter { page in
      guard states.region(page) == .unmapped else { return false }
      _ = fault(page, limits)
      return true
    }
  }

  static let copy = AroundLimits(first: 1, most: 64)
  static let map = AroundLimits(first: 16, most: 64)
}

@Suite("How many pages a fault takes along")
struct FaultAroundTests {
  @Test("limits follow from what a page needs, the granule and the user's wish")
  func limits() {
    let (run, all) = (256 << 10 as UInt64, UInt64.max)
    for action in [FaultAction.lookUp, .mapCached] {
      #expect(aroundLimits(action, shift: 12, most: all, run: run) == Accesses.map)
      #expect(
        aroundLimits(action, shift: 12, most: 8, run: run) == AroundLimits(first: 8, most: 8))
    }
    #expect(aroundLimits(.fill, shift: 12, most: all, run: run) == Accesses.copy)
    #expect(
      aroundLimits(.fill, shift: 12, most: 10, run: run) == AroundLimits(first: 1, most: 10))
    #expect(
      aroundLimits(.fill, shift: 16, most: all, run: run) == AroundLimits(first: 1, most: 4))
    for action in [FaultAction.fill, .lookUp, .mapCached] {
      #expect(aroundLimits(action, shift: 12, most: 1, run: run) == .nothing)
      #expect(aroundLimits(action, shift: 21, most: all, run: run) == .nothing)
      #expect(aroundLimits(action, shift: 30, most: all, run: run) == .nothing)
    }
    for action in [FaultAction.zero, .wait, .evict, .refuse, .poison, .leave] {
      #expect(aroundLimits(action, shift: 12, most: all, run: run) == .nothing)
    }
  }

  @Test("a run doubles each time it goes on, up to the limit")
  func sequential() {
    let accesses = Accesses()
    #expect(accesses.faults(0..<400) == [0, 1, 3, 7, 15, 31, 63, 127, 191, 255, 319, 383])
    #expect(
      Accesses().faults(7..<40, AroundLimits(first: 1, most: 4)) == [7, 8, 10]
        + stride(from: 14, to: 40, by: 4))
    #expect(Accesses().faults(0..<10, AroundLimits(first: 1, most: 2)) == [0, 1, 3, 5, 7, 9])
  }

  @Test("backwards, too, and down to the first page")
  func backwards() {
    let accesses = Accesses()
    let faults = accesses.faults((0..<200 as Range<UInt64>).reversed())
    #expect(faults == [199, 198, 196, 192, 184, 168, 136, 72, 8])
    #expect(accesses.states.count(ofBits: RegionPage.mapped.rawValue) == 200)
  }

  @Test("faults in no order take nothing along, where that copies")
  func random() {
    let accesses = Accesses()
    var page: UInt64 = 12_345
    var touched = 0
    for _ in 0..<5_000 {
      page = (page &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407) >> 3 % 100_000
      if accesses.states.region(page) == .unmapped {
        _ = accesses.fault(page)
        touched += 1
      }
    }
    let taken = accesses.states.count(ofBits: RegionPage.mapped.rawValue)
    #expect(taken >= touched && Double(taken) <= Double(touched) * 1.02, "\(taken) of \(touched)")
  }

  @Test("every second page is no run")
  func strided() {
    let accesses = Accesses()
    for page in stride(from: 0 as UInt64, to: 1_000, by: 2) {
      #expect(accesses.fault(page) == page...page)
    }
  }

  @Test("as many runs side by side as there are streams, each with its own window")
  func interleaved() {
    let accesses = Accesses()
    let starts: [UInt64] = [0, 10_000, 20_000, 30_000]
    #expect(starts.count == AccessStreams.count)
    var faults = 0
    for step in 0..<1_000 as Range<UInt64> {
      for start in starts where accesses.states.region(start + step) == .unmapped {
        _ = accesses.fault(start + step)
        faults += 1
      }
    }
    #expect(faults == 4 * 21, "\(faults): each for itself has 21")
  }

  @Test("a run goes on between faults in no order; of the streams the one left longest ago goes")
  func replaced() {
    let accesses = Accesses()
    _ = accesses.faults(0..<16)
    // Three strangers between the faults of the run leave it its stream.
    var next: UInt64 = 31
    for round in 0..<4 as Range<UInt64> {
      for stranger in 0..<3 as Range<UInt64> {
        _ = accesses.fault(50_000 + (round * 3 + stranger) * 100)
      }
      let taken = accesses.fault(next)
      #expect(taken.upperBound - taken.lowerBound + 1 == min(64, 32 << round))
      next = taken.upperBound + 1
    }
    // Four do not: it begins anew.
    for stranger in 0..<4 as Range<UInt64> { _ = accesses.fault(70_000 + stranger * 100) }
    #expect(accesses.fault(next) == next...next)
    #expect(accesses.fault(next + 1) == (next + 1)...(next + 2))
  }

  @Test("pages that are there already end what is taken, and the run goes on behind them")
  func settled() {
    let accesses = Accesses()
    accesses.states.setBits(10..<20, RegionPage.mapped.rawValue)
    accesses.states.set(40, RegionPage.poisoned)
    accesses.states.setBits(50..<52, RegionPage.discarded.rawValue)
    let readable = (0..<200 as Range<UInt64>).filter { $0 != 40 && !(50..<52).contains($0) }
    #expect(accesses.faults(readable) == [0, 1, 3, 7, 20, 36, 41, 52, 116, 180])
    #expect(accesses.states.region(40) == .poisoned && accesses.states.region(51) == .discarded)
  }

  @Test("more than a window that is there already ends the run")
  func gap() {
    let accesses = Accesses()
    _ = accesses.faults(0..<8)
    accesses.states.setBits(15..<79, RegionPage.mapped.rawValue)
    #expect(accesses.fault(79) == 79...94, "64 pages: jumped over")
    accesses.states.setBits(95..<160, RegionPage.mapped.rawValue)
    #expect(accesses.fault(160) == 160...160, "65 pages: another run")
  }

  @Test("where nothing is copied the first fault takes an aligned piece along")
  func uncopied() {
    let accesses = Accesses()
    #expect(accesses.fault(21, Accesses.map) == 16...31)
    #expect(accesses.fault(1_003, Accesses.map) == 992...1_007)
    #expect(accesses.fault(32, Accesses.map) == 32...63)
    #expect(accesses.fault(64, Accesses.map) == 64...127)
    // The end of a region.
    #expect(Accesses(100).fault(99, Accesses.map) == 96...99)
  }

  @Test("faults that came together are one; inside what was taken last nothing more is taken")
  func together() {
    let accesses = Accesses()
    #expect(accesses.fault(0, count: 3) == 0...2)
    #expect(accesses.fault(3) == 3...4)
    #expect(accesses.fault(5, count: 6) == 5...10, "four would be due")
    #expect(accesses.fault(11) == 11...18)
    // It did not succeed.
    accesses.states.setBits(14..<19, RegionPage.unmapped.rawValue)
    #expect(accesses.fault(14) == 14...14)
    #expect(accesses.fault(15) == 15...15)
    // The run still goes on where it was left.
    #expect(accesses.fault(19) == 19...34)
  }

  @Test("words that another reader tore are never a reason to go outside")
  func torn() {
    for seed in 0..<2_000 as Range<UInt64> {
      let accesses = Accesses(500)
      for word in 0..<AccessStreams.wordCount {
        let mixed = (seed &+ UInt64(word)) &* 0x9e37_79b9_7f4a_7c15
        // Places within the region, in any order; windows and ages of any size.
        unsafe accesses.streams.words[word] = word % 3 == 2 ? mixed : mixed >> 32 % 501
      }
      let taken = accesses.fault(seed % 500)
      #expect(taken.upperBound < 500)
    }
  }
}

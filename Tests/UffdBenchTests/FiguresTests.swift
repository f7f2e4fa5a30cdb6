// SPDX-License-Identifier: Apache-2.0
// From samples to rows, from rows to aims: arithmetic, without a measurement.
import Testing
import UffdHost

@testable import UffdBench

private func sample(_ p50: UInt64, elapsed: UInt64? = nil, pages: UInt64 = 100) -> Sample {
  var sample = Sample()
  sample.touched = pages
  (sample.p50, sample.mean, sample.p99) = (p50, p50, p50)
  sample.elapsed = elapsed ?? p50 * pages
  sample.bytes = pages * 4096
  sample.installed = sample.bytes
  sample.lifetime = 1_000_000_000
  return sample
}

private func rows(
  _ name: String, threads: Int = 1, _ rounds: [Round]
) throws -> [Row] {
  let benchCase = try #require(BenchCase.all.first { $0.name == name })
  return Variant(benchCase: benchCase, threads: threads, placement: .pinned).rows(rounds)
}

@Test func `median and quartiles lie between the figures they are of`() throws {
  #expect(Spread([]) == nil)
  #expect(Spread([7]) == Spread(median: 7, lower: 7, upper: 7))
  #expect(Spread([4, 1, 3, 2]) == Spread(median: 2.5, lower: 1.75, upper: 3.25))
  #expect(Spread([5, 1, 2, 4, 3]) == Spread(median: 3, lower: 2, upper: 4))
  #expect(try #require(Spread([8, 10, 12])).relative == 0.2)
}

@Test func `a ratio is of one round, whatever the machine does between rounds`() throws {
  // The second round is twice as slow for everybody.
  let rounds: [Round] = [
    [.c: sample(1000), .host: sample(1100)], [.c: sample(2000), .host: sample(2200)],
    [.c: sample(1000), .host: sample(1100)],
  ]
  let host = try #require(try rows("anon-copy", rounds).first { $0.subject == .host })
  #expect(host.ratio == Spread(median: 1.1, lower: 1.1, upper: 1.1))
  #expect(host.ratioOf == .p50 && host.p50 == 1100 && host.rounds == 3)
}

@Test func `rounds that do not agree are followed by more, those that the machine slowed are not`()
  throws
{
  let benchCase = try #require(BenchCase.all.first { $0.name == "anon-copy" })
  let variant = Variant(benchCase: benchCase, threads: 1, placement: .pinned)
  func isUnsteady(_ figures: [(UInt64, UInt64)]) -> Bool {
    variant.isUnsteady(figures.map { [.c: sample($0.0), .host: sample($0.1)] })
  }
  #expect(!isUnsteady([(1000, 1000), (2000, 2000), (4000, 4000)]))
  #expect(isUnsteady([(1000, 900), (1000, 1000), (1000, 1200)]))
  #expect(!isUnsteady([(1000, 980), (1000, 1000), (1000, 1020)]))
  #expect(!isUnsteady([]))
}

@Test func `several threads are compared by the time of everything`() throws {
  let rounds: [Round] = [
    [.c: sample(10, elapsed: 4000), .host: sample(10, elapsed: 6000)]
  ]
  let host = try #require(try rows("anon-copy", threads: 2, rounds).first { $0.subject == .host })
  #expect(host.ratioOf == .time && host.ratio?.median == 1.5)
  #expect(host.pagesPerSecond == 100.0 * 1e9 / 6000)
}

@Test func `a round without c has no ratio, and a subject without samples no row`() throws {
  let found = try rows("anon-copy", [[.host: sample(5)], [.c: sample(4), .host: sample(6)]])
  #expect(found.map(\.subject) == [.c, .host])
  #expect(found[1].ratio?.median == 1.5)
  #expect(try rows("anon-copy", [[.host: sample(5)]])[0].ratio == nil)
}

@Test func `spread, load and work left undone make a row doubtful`() throws {
  var loaded = sample(100)
  loaded.foreign = 300_000_000
  let steady: [Round] = [[.c: sample(100)], [.c: sample(101)], [.c: sample(99)]]
  #expect(try rows("anon-copy", steady)[0].doubts.isEmpty)
  let wild: [Round] = [[.c: sample(100)], [.c: sample(150)], [.c: sample(200)]]
  #expect(try rows("anon-copy", wild)[0].doubts == [.spread(1.0 / 3)])
  #expect(try rows("anon-copy", [[.c: loaded]])[0].doubts == [.load(0.3)])
  // Too short for the clock of /proc/stat.
  loaded.lifetime = 100_000_000
  #expect(try rows("anon-copy", [[.c: loaded]])[0].doubts.isEmpty)
  var lazy = sample(100)
  lazy.installed = 4096
  #expect(
    try rows("anon-fill", [[.host: lazy]])[0].doubts == [.unfilled(99 * 4096, of: 100 * 4096)])
  // A touch of a page that was installed with its neighbours is no doubt.
  #expect(try rows("anon-sparse", [[.host: lazy]])[0].doubts.isEmpty)
}

@Test func `nanoseconds of a message are in hundredths on the way, and whole in the row`() throws {
  let row = try rows("language-copy", [[.c: sample(1320)]])[0]
  #expect(row.p50 == 13.2)
}

private func aim(_ words: String, _ rows: [Row]) throws -> Aim {
  try #require(AimTable(rows: rows).aims.first { $0.title.hasPrefix(words) })
}

@Test func `an aim is reached, missed, or not measured`() throws {
  let title = "demand fault, missing COPY"
  #expect(try aim(title, []).isReached == nil)
  let good = try rows("anon-copy", [[.c: sample(1000), .host: sample(1020)]])
  #expect(try aim(title, good).isReached == true)
  let bad = try rows("anon-copy", [[.c: sample(1000), .host: sample(1021)]])
  #expect(try aim(title, bad).isReached == false)
  #expect(try aim(title, bad).isDoubtful == false)
}

@Test func `less work is no speed`() throws {
  let title = "fill everything, shared memory"
  var host = sample(10)
  let rounds: [Round] = [[.c: sample(100), .host: host]]
  #expect(try aim(title, rows("shmem-fill-continue", rounds)).isReached == true)
  host.installed = 0
  let lazy: [Round] = [[.c: sample(100), .host: host]]
  #expect(try aim(title, rows("shmem-fill-continue", lazy)).measured == nil)
}

@Test func `an aim that needs more than one row needs all of them`() throws {
  let title = "sequential touches"
  let both: [Round] = [[.kernel: sample(1000), .c: sample(5000), .host: sample(600)]]
  #expect(try aim(title, rows("anon-sequential", both)).measured == 0.6)
  let one: [Round] = [[.c: sample(5000), .host: sample(600)]]
  #expect(try aim(title, rows("anon-sequential", one)).measured == nil)
}

/// What a run of everything measures of a case: its own placements, or where it fills, one that follows from
/// the threads. A run says the same of itself, but not to anybody who has not measured.
private func variants(_ benchCase: BenchCase) -> [Variant] {
  benchCase.threads.flatMap { threads in
    let filling: Placement = threads == 1 ? .pinned : .unpinned
    return (benchCase.kind == .fill ? [filling] : benchCase.placements).map {
      Variant(benchCase: benchCase, threads: threads, placement: $0)
    }
  }
}

@Test func `every aim has a case behind it`() throws {
  // An aim whose case, threads, placement or subject no run has would be "not measured" for ever.
  let round: Round = [
    .kernel: sample(10), .c: sample(10), .peer: sample(30), .host: sample(10),
    .hostExternal: sample(10),
  ]
  let rows = BenchCase.all.flatMap(variants).flatMap { $0.rows([round]) }
  let missing = AimTable(rows: rows).aims.filter { $0.measured == nil }.map(\.title)
  #expect(missing.isEmpty)
}

@Test func `every kind of single fault has 1, 2, 4 and 8 threads`() {
  for name in [
    "anon-copy", "anon-zero", "anon-poison", "shmem-copy", "shmem-continue", "hugetlb-copy",
    "hugetlb-continue",
  ] {
    #expect(BenchCase.all.first { $0.name == name }?.threads == [1, 2, 4, 8], "\(name)")
  }
}

@Test func `random order with fault-around is compared by the time of everything`() throws {
  let rounds: [Round] = [[.c: sample(10, elapsed: 4000), .host: sample(20, elapsed: 3000)]]
  let host = try #require(try rows("anon-random-around", rounds).first { $0.subject == .host })
  #expect(host.ratioOf == .time && host.ratio?.median == 0.75)
  #expect(try rows("anon-copy", rounds)[0].ratioOf == .p50)
  let around = BenchCase.all.filter { $0.hasFaultAround && $0.order == .random }
  #expect(around.map(\.name) == ["anon-random-around"])
}

@Test func `names of cases are unique, and say the memory`() {
  #expect(Set(BenchOptions.caseNames).count == BenchCase.all.count)
  for benchCase in BenchCase.all where benchCase.kind == .demand || benchCase.kind == .fill {
    #expect(benchCase.name.hasPrefix(benchCase.memory.rawValue), "\(benchCase.name)")
    #expect(benchCase.subjects.contains(.c), "\(benchCase.name)")
  }
}

// SPDX-License-Identifier: Apache-2.0
// What is made of a working set: runs to fill, figures and texts to read, a name of its content.

import Testing
import UffdReport

@testable import UffdWorkingSet

private func set(_ pgoffs: [UInt64], _ times: [UInt64] = [], end: UInt64 = 0) -> WorkingSet {
  WorkingSet(
    identity: .named(high: 1, low: 2), provider: "anon", granule: 4096, objectSize: 100 * 4096,
    recordedAt: 1_795_615_389, microseconds: max(end, times.last ?? 0),
    entries: pgoffs.enumerated().map { index, pgoff in
      .init(pgoff: pgoff, microseconds: index < times.count ? times[index] : times.last ?? 0)
    })
}

@Suite("Working set: plan and figures")
struct PlanTests {
  static let plans: [(pgoffs: [UInt64], bridging: UInt64, runs: [Range<UInt64>])] = [
    ([], 0, []), ([7], 0, [7..<8]), ([9, 7, 8], 0, [7..<10]),
    ([5, 1, 3], 0, [1..<2, 3..<4, 5..<6]), ([5, 1, 3], 1, [1..<6]),
    ([0, 3, 99], 1, [0..<1, 3..<4, 99..<100]), ([0, 3, 99], 2, [0..<4, 99..<100]),
    ([99, 0], 98, [0..<100]), ([99, 0], 97, [0..<1, 99..<100]),
  ]

  @Test("runs: ascending, neighbours merged, small gaps bridged", arguments: plans)
  func runs(_ plan: (pgoffs: [UInt64], bridging: UInt64, runs: [Range<UInt64>])) {
    #expect(set(plan.pgoffs).runs(bridging: plan.bridging) == plan.runs)
  }

  @Test("figures of a small set, by hand")
  func figures() {
    // Touched in the order 4, 5, 20, 6, 7, 40.
    let figures = WorkingSetFigures(
      set([4, 5, 20, 6, 7, 40], [10, 20, 30, 40, 50, 200_000], end: 900_000), parts: 10)
    #expect(figures.granules == 6 && figures.runs == 3 && figures.longestRun == 4)
    #expect(
      figures.lengths == [
        .init(from: 1, runs: 2, granules: 2), .init(from: 4, runs: 1, granules: 4),
      ])
    #expect(figures.sequential == 2)
    #expect(figures.moments.map(\.percent) == [0, 50, 90, 99, 100])
    #expect(figures.moments.map(\.microseconds) == [10, 30, 200_000, 200_000, 200_000])
    #expect(figures.settled == 50)
    #expect(figures.granulesPerPart == 10)
    #expect(figures.map == [4, 0, 1, 0, 1, 0, 0, 0, 0, 0])
    #expect(WorkingSetFigures(set([1, 2], [0, 90_000], end: 100_000)).settled == nil)
    #expect(WorkingSetFigures(set([1, 2], [0, 90_000], end: 190_000)).settled == 90_000)
    let none = WorkingSetFigures(set([]))
    #expect(none.granules == 0 && none.moments.isEmpty && none.settled == nil)
  }

  @Test("the text, whole")
  func text() {
    let text = set([4, 5, 20, 6, 7, 40], [10, 20, 30, 40, 50, 200_000], end: 900_000)
      .text(name: "my.ws")
    #expect(
      text == """
        my.ws: a working set of anon

          content      named 00000000000000010000000000000002, 400 KiB in granules of 4 KiB
          recorded     2026-11-25 14:03:09 UTC, for 900.0 ms
          touched      6 granules, 24 KiB, 6.0 % of the object
          runs         3, 2.0 granules each, the longest 4
          order        40.0 % of the touches follow the one before
          time         first 10.0 us, 50 % 30.0 us, 90 % 200.0 ms, 99 % 200.0 ms, last 200.0 ms
          settled      after 50.0 us

          run length      runs   granules
                   1         2          2  ################
                 4-7         1          4  ################################

          map: one character is 4 KiB; . nothing, -+* up to a quarter, a half, three, # more
                 0 B ....####............#...................#.....................
             248 KiB ......................................

        """)
    #expect(set([]).text(name: "e").hasSuffix("0 granules, 0 B, 0.0 % of the object\n"))
  }

  @Test("a set as JSON has every figure")
  func json() {
    let json = set([4, 5, 20], [10, 20, 30], end: 40).json(name: "my.ws")
    for part in [
      "\"file\": \"my.ws\"", "\"granules\": 3", "\"runs\": 2", "\"sequential\": 1",
      "\"recorded_ns\": 40000", "\"settled_ns\": null", "\"bytes\": 12288", "\"version\": 1",
      "\"identity\": \"named 00000000000000010000000000000002\"", "\"object_size\": 409600",
    ] {
      #expect(json.contains(part), "\(part) in \(json)")
    }
  }

  static let dates: [(seconds: UInt64, text: String)] = [
    (1, "1970-01-01 00:00:01 UTC"), (951_782_399, "2000-02-28 23:59:59 UTC"),
    (951_782_400, "2000-02-29 00:00:00 UTC"), (951_868_800, "2000-03-01 00:00:00 UTC"),
    (1_709_251_199, "2024-02-29 23:59:59 UTC"), (4_107_542_400, "2100-03-01 00:00:00 UTC"),
    (253_402_300_799, "9999-12-31 23:59:59 UTC"), (0, "at an unknown time"),
    (.max, "at an unknown time"),
  ]
  @Test("dates", arguments: dates)
  func date(_ date: (seconds: UInt64, text: String)) {
    #expect(WorkingSet.date(date.seconds) == date.text)
  }

  @Test("a described content differs with each thing that it is described by")
  func described() {
    typealias Trait = ContentIdentity.Trait
    func describe(
      _ provider: String = "p",
      _ parameters: [(String, Trait)] = [
        ("image", .file(size: 9, modifiedNanoseconds: 8)), ("a", .text("x")),
      ],
      _ samples: [[UInt8]] = [[1, 2], [3]]
    ) -> ContentIdentity {
      .describing(
        provider: provider, parameters: parameters.map { (key: $0.0, trait: $0.1) },
        samples: samples)
    }
    let file = ("image", Trait.file(size: 9, modifiedNanoseconds: 8))
    let text = ("a", Trait.text("x"))
    let base = describe()
    #expect(describe("p", [text, file]) == base, "the order of the keys does not count")
    let others = [
      describe("q"), describe("p", [file]), describe("p", [file, ("a", .text("y"))]),
      describe("p", [file, ("b", .text("x"))]),
      describe("p", [("image", .file(size: 9, modifiedNanoseconds: 7)), text]),
      describe("p", [("image", .file(size: 8, modifiedNanoseconds: 8)), text]),
      describe("p", [file, text], [[1, 2], [4]]), describe("p", [file, text], []),
      describe("p", [file, text, ("a", .text("z"))]),
    ]
    for (index, other) in others.enumerated() {
      #expect(other != base, "\(index)")
      for another in others[..<index] { #expect(other != another, "\(index)") }
    }
    // The order of one key's values does.
    #expect(
      describe("p", [("a", .text("1")), ("a", .text("2"))])
        != describe("p", [("a", .text("2")), ("a", .text("1"))]))
  }

  @Test("samples are spread over the whole object, however large it is")
  func samples() {
    #expect(ContentIdentity.samplePlaces(granules: 1) == [0])
    #expect(ContentIdentity.samplePlaces(granules: 64) == Array(0..<64))
    for granules in [65, 1000, 1 << 51] as [UInt64] {
      let places = ContentIdentity.samplePlaces(granules: granules)
      #expect(places.count == 64 && places.first == 0 && places.last == granules - 1)
      #expect(zip(places, places.dropFirst()).allSatisfy { $0 < $1 })
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// What to do about a fault: every combination, against a table written out by hand.

import Testing

@testable import UffdHost

@Suite("The decision about a fault")
struct FaultDecisionTests {
  @Test("where nobody waits only what is simply missing is filled or mapped")
  func forNobody() {
    for action in [FaultAction.fill, .fillZero, .lookUp, .mapCached] {
      #expect(action.forNobody(.unmapped) == action)
    }
    for action in [FaultAction.zero, .wait, .evict, .refuse, .poison, .leave] {
      #expect(action.forNobody(.unmapped) == .leave)
    }
    for state in [RegionPage.mapped, .discarded, .poisoned] {
      for action in [FaultAction.fill, .fillZero, .lookUp, .mapCached, .zero, .wait, .poison] {
        #expect(action.forNobody(state) == .leave)
      }
    }
  }

  /// What a region is, as far as its faults go.
  private enum Sort: String {
    /// Content goes into the mapping alone.
    case mapping
    /// Shows and fills a backing of ours.
    case shared, copied
    /// Shows a backing that came with its content.
    case sharedFile, privateFile
  }

  /// The sort for each shape, spelled out: shared, fillsBacking, arrivesFilled, has a backing.
  private static func sort(_ shape: RegionShape, hasBacking: Bool) -> Sort {
    switch (hasBacking, shape.arrivesFilled, shape.fillsBacking, shape.shared) {
    case (false, false, false, false), (false, false, false, true), (false, false, true, false),
      (false, false, true, true), (false, true, false, false), (false, true, false, true),
      (false, true, true, false), (false, true, true, true), (true, false, false, false),
      (true, false, false, true):
      .mapping
    case (true, false, true, false): .copied
    case (true, false, true, true): .shared
    case (true, true, false, false), (true, true, true, false): .privateFile
    case (true, true, false, true), (true, true, true, true): .sharedFile
    }
  }

  /// sort, region page, backing page: what a missing and what a minor fault get. `any` is every state.
  private static let table = """
    mapping      unmapped   any      fill       fill
    mapping      mapped     any      zero       zero
    mapping      discarded  any      zero       zero
    shared       unmapped   absent   fill       evict
    shared       unmapped   filling  wait       wait
    shared       unmapped   present  mapCached  lookUp
    shared       unmapped   punched  zero       mapCached
    shared       mapped     absent   fill       evict
    shared       mapped     filling  wait       wait
    shared       mapped     present  mapCached  lookUp
    shared       mapped     punched  zero       mapCached
    shared       discarded  absent   zero       evict
    shared       discarded  filling  wait       wait
    shared       discarded  present  mapCached  lookUp
    shared       discarded  punched  zero       mapCached
    copied       unmapped   absent   fill       evict
    copied       unmapped   filling  wait       wait
    copied       unmapped   present  mapCached  lookUp
    copied       unmapped   punched  zero       mapCached
    copied       mapped     absent   fill       evict
    copied       mapped     filling  wait       wait
    copied       mapped     present  mapCached  lookUp
    copied       mapped     punched  zero       mapCached
    copied       discarded  any      zero       zero
    sharedFile   unmapped   any      fill       lookUp
    sharedFile   mapped     any      fill       lookUp
    sharedFile   discarded  any      zero       lookUp
    privateFile  unmapped   any      fill       lookUp
    privateFile  mapped     any      fill       lookUp
    privateFile  discarded  any      zero       zero
    """

  private static let rows: [[String]] = table.split(separator: "\n").map {
    $0.split(separator: " ").map(String.init)
  }

  private static func expected(
    _ kind: FaultKind, _ sort: Sort, _ region: RegionPage, _ backing: BackingPage?
  ) -> String? {
    if kind == .unknown || region == .poisoned { return "poison" }
    let fitting = rows.filter { row in
      row[0] == sort.rawValue && row[1] == "\(region)"
        && (row[2] == "any" || row[2] == backing.map { "\($0)" })
    }
    return fitting.count == 1 ? fitting[0][kind == .missing ? 3 : 4] : nil
  }

  @Test("all 480 combinations")
  func everything() {
    var seen = 0
    let flags = [false, true]
    let backings: [BackingPage?] = [nil] + BackingPage.allCases
    for kind in FaultKind.allCases {
      for (shared, fills, arrives) in flags.flatMap({ a in
        flags.flatMap { b in flags.map { (a, b, $0) } }
      }) {
        let shape = RegionShape(shared: shared, fillsBacking: fills, arrivesFilled: arrives)
        for region in RegionPage.allCases {
          for backing in backings {
            seen += 1
            let sort = Self.sort(shape, hasBacking: backing != nil)
            let action = decide(kind, shape, region, backing)
            #expect(
              "\(action)" == Self.expected(kind, sort, region, backing),
              "\(kind) \(sort) \(region) \(String(describing: backing))")
          }
        }
      }
    }
    #expect(seen == 3 * 8 * 4 * 5)
  }

  @Test("a client's memfd: a page in its cache that nobody published is never evicted")
  func strays() {
    let expected: [(Strays, FaultAction)] = [
      (.evicted, .evict), (.areContent, .mapCached), (.refused, .refuse),
    ]
    for (strays, action) in expected {
      for shared in [false, true] {
        var shape = RegionShape(shared: shared, fillsBacking: true, arrivesFilled: false)
        shape.strays = strays
        #expect(decide(.minor, shape, .unmapped, .absent) == action)
        // Everything else is as for a backing of ours.
        for kind in [FaultKind.missing, .minor] {
          for region in RegionPage.allCases {
            for backing in BackingPage.allCases where (kind, backing) != (.minor, .absent) {
              var ours = shape
              ours.strays = .evicted
              #expect(decide(kind, shape, region, backing) == decide(kind, ours, region, backing))
            }
          }
        }
      }
    }
  }

  @Test("what grew behind a region reads zero, whatever is asked")
  func grown() {
    var shape = RegionShape(shared: false, fillsBacking: false, arrivesFilled: false)
    shape.readsZero = true
    for kind in FaultKind.allCases {
      for region in RegionPage.allCases {
        let expected: FaultAction = kind == .unknown || region == .poisoned ? .poison : .zero
        #expect(decide(kind, shape, region, nil) == expected)
      }
    }
  }

  @Test("a fault's flags: WRITE alone changes nothing, what is unknown is not taken for missing")
  func kinds() {
    #expect(FaultKind(flags: 0) == .missing)
    #expect(FaultKind(flags: 1) == .missing)
    #expect(FaultKind(flags: 4) == .minor)
    #expect(FaultKind(flags: 5) == .minor)
    for bit in 0..<64 as Range<UInt64> where bit != 0 && bit != 2 {
      #expect(FaultKind(flags: 1 << bit) == .unknown)
      #expect(FaultKind(flags: 1 << bit | 5) == .unknown)
    }
  }
}

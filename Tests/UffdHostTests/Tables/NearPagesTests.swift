// SPDX-License-Identifier: Apache-2.0
// A neighbour is never overlooked, and of pages in no order most are told to have none.

import Testing

@testable import UffdHost

@Suite("Pages near each other")
struct NearPagesTests {
  @Test(
    "the page itself and both neighbours, also where a number of six bits is over",
    arguments: [0, 1, 62, 63, 64, 4_031, 4_032, 4_095, 4_096, 1 << 40] as [UInt64])
  func neighbours(_ page: UInt64) {
    for other in [page == 0 ? 0 : page - 1, page, page + 1] {
      var pages = NearPages()
      let (first, second) = (pages.note(page), pages.note(other))
      #expect(!first)
      #expect(second, "\(other) after \(page)")
    }
  }

  @Test("no neighbour is overlooked among the pages of a batch")
  func model() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<2_000 {
      var pages = NearPages()
      var noted: [UInt64] = []
      for _ in 0..<16 {
        let page = UInt64.random(in: 0..<200, using: &random)
        let isNear = noted.contains { $0 <= page + 1 && page <= $0 + 1 }
        let found = pages.note(page)
        #expect(found || !isNear, "\(page) after \(noted)")
        noted.append(page)
      }
    }
  }

  @Test("of pages in no order five in six are told to have none")
  func quiet() {
    var state: UInt64 = 1
    var told = 0
    for _ in 0..<1_000 {
      var pages = NearPages()
      for _ in 0..<16 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        if pages.note(state >> 40) { told += 1 }
      }
    }
    #expect(told < 2_666, "\(told) of 16,000")
  }
}

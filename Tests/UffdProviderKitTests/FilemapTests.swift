// SPDX-License-Identifier: Apache-2.0

// The filemap alone: its bits, its accounting, its limit, and both under several threads.

import Dispatch
import Synchronization
import Testing
import UffdProviderKit

extension Filemap.Addition {
  var name: String {
    switch self {
    case .added: "added"
    case .alreadyThere(let count): "\(count) already there"
    case .limitReached: "limit"
    case .outOfRange: "out of range"
    }
  }
}

struct FilemapTests {
  @Test(arguments: [(0, 1), (63, 1), (63, 2), (60, 200), (0, 64), (64, 64), (1, 999)])
  func holdsExactlyWhatWasAdded(pgoff: Int, count: Int) throws {
    let filemap = try Filemap(granules: 1000)
    #expect(filemap.add(pgoff: UInt64(pgoff), count: UInt64(count)).name == "added")
    let held = (0..<1000).filter { filemap.contains(UInt64($0)) }
    #expect(held == Array(pgoff..<pgoff + count))
    #expect(filemap.accounted == UInt64(count))
    #expect(filemap.remove(pgoff: UInt64(pgoff), count: UInt64(count)) == UInt64(count))
    #expect(filemap.accounted == 0)
    #expect(!(0..<1000).contains { filemap.contains(UInt64($0)) })
  }

  @Test func theLimitIsAllOrNothing() throws {
    let filemap = try Filemap(granules: 100, limit: 10)
    #expect(filemap.add(pgoff: 0, count: 8).name == "added")
    #expect(filemap.add(pgoff: 20, count: 3).name == "limit")
    #expect(!filemap.contains(20))
    #expect(filemap.accounted == 8)
    #expect(filemap.add(pgoff: 20, count: 2).name == "added")
    #expect(filemap.add(pgoff: 30, count: 1).name == "limit")
    #expect(filemap.remove(pgoff: 0, count: 1) == 1)
    #expect(filemap.add(pgoff: 30, count: 1).name == "added")
  }

  @Test func beyondTheObjectNothingIsAdded() throws {
    let filemap = try Filemap(granules: 100)
    for (pgoff, count) in [(100, 1), (99, 2), (0, 101), (0, 0), (.max, 2), (1, .max)]
      as [(UInt64, UInt64)]
    {
      #expect(filemap.add(pgoff: pgoff, count: count).name == "out of range")
      #expect(filemap.remove(pgoff: pgoff, count: count) == 0)
    }
    #expect(filemap.accounted == 0)
    #expect(!filemap.contains(100))
    #expect(!filemap.contains(.max))
  }

  @Test func aGranuleIsAccountedOnce() throws {
    let filemap = try Filemap(granules: 100)
    #expect(filemap.add(pgoff: 10, count: 5).name == "added")
    #expect(filemap.add(pgoff: 8, count: 4).name == "2 already there")
    #expect(filemap.accounted == 7)
    #expect(filemap.remove(pgoff: 0, count: 10) == 2)
    #expect(filemap.accounted == 5)
  }

  @Test func threadsNeverPassTheLimitTogether() throws {
    let filemap = try Filemap(granules: 4096, limit: 1000)
    let added = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: 8) { thread in
      for index in 0..<512 {
        // Neighbours are different threads', so that they meet in the same words.
        if case .added = filemap.add(pgoff: UInt64(index * 8 + thread), count: 1) {
          added.wrappingAdd(1, ordering: .relaxed)
        }
      }
    }
    #expect(added.load(ordering: .relaxed) == 1000)
    #expect(filemap.accounted == 1000)
    #expect((0..<4096).count { filemap.contains(UInt64($0)) } == 1000)
  }
}

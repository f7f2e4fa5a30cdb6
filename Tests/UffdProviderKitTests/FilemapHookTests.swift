// SPDX-License-Identifier: Apache-2.0

// The filemap hooks of the two providers that have a backing, called through the table.

import Testing
import UffdPluginABI

extension MockInstance {
  func add(_ pgoff: UInt64, _ count: UInt64) -> uffd_status {
    unsafe table.pointee.filemap_add!(pointer, pgoff, count)
  }
  func remove(_ pgoff: UInt64, _ count: UInt64) {
    unsafe table.pointee.filemap_remove!(pointer, pgoff, count)
  }
  func discard(_ pgoff: UInt64, _ count: UInt64) {
    unsafe table.pointee.discard!(pointer, pgoff, count)
  }
  func lookup(_ pgoff: UInt64) -> uffd_status {
    unsafe table.pointee.get_folio_noalloc!(pointer, pgoff, 1)
  }
}

@Suite(.serialized) struct FilemapHookTests {
  private static let names = ["ShmemProvider", "HugetlbProvider"]

  /// An object of 100 granules.
  private func instance(_ name: String, limit: Int? = nil) throws -> MockInstance {
    var parameters = [("pattern", "1"), ("size", name == "ShmemProvider" ? "400K" : "200M")]
    if let limit { parameters.append(("limit", "\(limit)")) }
    let instance = try MockInstance(ProviderLibrary(name), parameters)
    #expect(instance.granules == 100)
    return instance
  }

  @Test(arguments: names) func presentMeansAddedAndNotTakenBack(name: String) throws {
    let instance = try instance(name)
    #expect(instance.lookup(5) == .absent)
    #expect(instance.add(5, 3) == .ok)
    #expect((4..<9).map { instance.lookup($0) } == [.absent, .ok, .ok, .ok, .absent])
    instance.remove(6, 2)
    #expect((4..<9).map { instance.lookup($0) } == [.absent, .ok, .absent, .absent, .absent])
    instance.discard(0, 100)
    #expect(instance.lookup(5) == .absent)
    #expect(instance.lookup(100) == .outOfRange)
    #expect(instance.add(99, 2) == .outOfRange)
    #expect(instance.host.heard.log.isEmpty)
  }

  @Test(arguments: names) func beyondTheLimitNothingIsAdded(name: String) throws {
    let instance = try instance(name, limit: 4)
    #expect(instance.add(0, 3) == .ok)
    #expect(instance.add(3, 2) == .noMemory)
    #expect(
      instance.host.lastError
        == "the limit of 4 granules is reached: give a larger limit=, or none")
    #expect(instance.lookup(3) == .absent)
    #expect(instance.add(3, 1) == .ok)
    #expect(instance.add(4, 1) == .noMemory)
    // What a client punches out is free for others.
    instance.discard(0, 2)
    #expect(instance.add(4, 2) == .ok)
    #expect(instance.add(6, 1) == .noMemory)
  }

  @Test(arguments: names) func theHostsMistakesAreLogged(name: String) throws {
    let instance = try instance(name, limit: 10)
    #expect(instance.add(0, 4) == .ok)
    #expect(instance.add(2, 4) == .ok)
    instance.remove(5, 3)
    let log = instance.host.heard.log
    #expect(log.allSatisfy { $0.level == .error })
    #expect(
      log.map(\.line) == [
        "the host added 4 granules from pgoff 2, but 2 of them were in the filemap already: "
          + "a host bug",
        "the host removed 3 granules from pgoff 5, but only 1 of them were in the filemap: "
          + "a host bug",
      ])
    // The accounting agrees with the bits: 0 to 4 are there, and five more fit.
    #expect(instance.add(20, 6) == .noMemory)
    #expect(instance.add(20, 5) == .ok)
  }
}

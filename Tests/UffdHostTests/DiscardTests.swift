// SPDX-License-Identifier: Apache-2.0
// What a page reads after its client gave it back: zero, except where the content is still in the backing.

import FaultInjection
import Glibc
import Testing

@testable import UffdHost

@Suite(
  "Discards",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct DiscardTests {
  @Test(
    "a filled page after MADV_DONTNEED",
    arguments: ["anon", "shmem s", "shmem b", "shmem m", "hugetlb s", "hugetlb b"], [1, 2])
  func dontNeed(_ what: String, _ readers: Int) async throws {
    if what.hasPrefix("hugetlb") { try Machine.needHugePages() }
    await #expect(processExitsWith: .success) { [what, readers] in
      let scene = try Scene(.parallel, .with { $0.readers = readers })
      let (instance, region) = try Self.make(scene, what)
      let granule = region.granule
      #expect(region.difference() == -1)
      region.store(1, 4711)
      #expect(region.advise(1, 2, MADV_DONTNEED) == 0)
      #expect(try instance.settledStatistics().discarded == 2)
      if what.hasSuffix("s") {
        #expect(region.load(1) == 4711, "a shared page keeps what was written")
        #expect(region.holdsContent(2))
      } else {
        #expect(region.isZero(1))
        #expect(region.isZero(2))
      }
      #expect(region.holdsContent(0) && region.holdsContent(3))
      // Again, now that it was zeroed; and what is written then stays.
      region.store(2, 5)
      #expect(region.load(2) == 5)
      #expect(region.advise(2, 1, MADV_DONTNEED) == 0)
      #expect(region.load(2) == (what.hasSuffix("s") ? 5 : 0))
      if instance.hasBacking {
        // Nobody else sees any of it, but for shared writes.
        let other = try instance.map()
        #expect(other.load(1) == (what.hasSuffix("s") ? 4711 : contentWord(1, granule: granule)))
        #expect(other.load(3) == contentWord(3, granule: granule))
      }
    }
  }

  @Test(
    "a page that was never filled, after MADV_DONTNEED",
    arguments: ["anon", "shmem s", "shmem b", "shmem m"], [1, 2])
  func neverFilled(_ what: String, _ readers: Int) async {
    await #expect(processExitsWith: .success) { [what, readers] in
      let scene = try Scene(
        .parallel,
        .with {
          $0.readers = readers
          $0.faultAround = .off
        })
      let (_, region) = try Self.make(scene, what)
      #expect(region.advise(1, 3, MADV_DONTNEED) == 0)
      for index in 1..<4 as Range<UInt64> { #expect(region.isZero(index)) }
      #expect(region.holdsContent(0) && region.holdsContent(4))
      #expect(scene.state[\.answered] == 2)
    }
  }

  @Test("a punched shared page reads zero in every region of the backing", arguments: [1, 2])
  func punched(_ readers: Int) async {
    await #expect(processExitsWith: .success) { [readers] in
      let scene = try Scene(.parallel, .with { $0.readers = readers })
      let instance = try scene.open(.shmem, granules: 16)
      let writer = try instance.map()
      let sibling = try instance.map()
      let copy = try instance.map(.with { $0.sharing = .private })
      let alone = try instance.map(
        .with {
          $0.sharing = .private
          $0.fill = .mapping
        })
      #expect(writer.difference() == -1)
      #expect(sibling.difference() == -1)
      #expect(copy.load(2) == contentWord(2))
      copy.store(3, 33)
      #expect(writer.advise(2, 2, MADV_REMOVE) == 0)
      #expect(sibling.isZero(2))
      #expect(writer.isZero(2) && writer.isZero(3) && sibling.isZero(3))
      // Copied on write before: still the copy. Not touched before: what the backing reads now.
      #expect(copy.load(3) == 33)
      #expect(copy.isZero(2))
      // A mapping that is filled alone never had anything to do with it.
      #expect(alone.holdsContent(2) && alone.holdsContent(3))
      _ = try instance.settledStatistics()
      #expect(scene.state[\.discards] == 2)
      // From now on it is an ordinary shared page.
      sibling.store(2, 22)
      #expect(writer.load(2) == 22)
      #expect(writer.holdsContent(4))
      // Punched twice.
      #expect(writer.advise(2, 1, MADV_REMOVE) == 0)
      #expect(writer.isZero(2) && sibling.isZero(2))
    }
  }

  @Test(
    "a discard while the provider has the page in flight",
    arguments: ["anon", "shmem s", "shmem b", "shmem m"], [1, 2])
  func inFlight(_ what: String, _ readers: Int) async {
    await #expect(processExitsWith: .success) { [what, readers] in
      let scene = try Scene(.blocking, .with { $0.readers = readers })
      let (_, region) = try Self.make(scene, what)
      scene.state[\.gate_pgoff] = 2 + 1
      let toucher = try inBackground { _ = region.load(2) }
      #expect(scene.state.wait(for: \.gate_reached, atLeast: 1))
      #expect(region.advise(2, 1, MADV_DONTNEED) == 0)
      scene.state[\.gate_open] = 1
      toucher.join()
      #expect(region.isZero(2), "the provider's bytes came after the discard")
      #expect(region.holdsContent(1))
      #expect(scene.state[\.adds] - scene.state[\.removes] <= 3)
      #expect(scene.state[\.bad_adds] == 0 && scene.state[\.bad_removes] == 0)
    }
  }

  /// "anon", or a kind and how it is mapped: s shared, b private, m private and filled alone.
  static func make(_ scene: Scene, _ what: String) throws -> (Instance, Region) {
    let words = what.split(separator: " ").map(String.init)
    let kind = MemoryKind(rawValue: words[0])!
    let granule: UInt64 = kind == .hugetlb ? 2 << 20 : 4096
    let instance = try scene.open(kind, granules: kind == .hugetlb ? 4 : 16, granule: granule)
    let region = try instance.map(
      .with {
        $0.sharing = words.last == "s" ? .shared : .private
        $0.fill = words.last == "m" ? .mapping : .backing
      })
    return (instance, region)
  }
}

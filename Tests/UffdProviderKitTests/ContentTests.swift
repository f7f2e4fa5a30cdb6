// SPDX-License-Identifier: Apache-2.0

// The bytes that the providers answer, compared with the file or the pattern that they stand for, and
// the form of the answers: lent, zero or staged.

import Glibc
import Testing
import UffdPattern
import UffdPluginABI

struct ContentTests {
  private func instance(_ name: String, _ parameters: [(String, String)]) throws -> MockInstance {
    try MockInstance(ProviderLibrary(name), parameters)
  }

  /// `content`, with zeroes up to a multiple of `granule`.
  private func padded(_ content: [UInt8], _ granule: Int) -> [UInt8] {
    content + Array(repeating: 0, count: (granule - content.count % granule) % granule)
  }

  @Test(arguments: ProviderLibrary.names, [1, 4096, 4097, 65_536, 3_000_001])
  func anImageIsServedByteForByte(name: String, length: Int) throws {
    let content = noise(length)
    let image = try TemporaryFile(content)
    let instance = try instance(name, [("image", image.path)])
    let granule = unsafe Int(instance.traits.granule)
    #expect(unsafe instance.traits.object_size == UInt64(length))
    #expect(instance.readAll() == padded(content, granule))
    #expect(instance.readAll(count: 7) == padded(content, granule))
    #expect(instance.ask(instance.granules).status == .outOfRange)
    #expect(instance.ask(.max).status == .outOfRange)
  }

  @Test func largeGranulesSeeTheSameBytes() throws {
    let content = noise(5_000_001)
    let image = try TemporaryFile(content)
    let instance = try instance("AnonProvider", [("image", image.path)])
    #expect(instance.readAll(granule: 1 << 21) == padded(content, 1 << 21))
    #expect(instance.ask(0, granule: 1 << 30).status == .outOfRange)
  }

  @Test func wholeGranulesAreLentFromTheMappingAndTheTailIsNot() throws {
    let image = try TemporaryFile(noise(3 * 4096 + 5))
    let instance = try instance("AnonProvider", [("image", image.path)])
    let first = instance.ask(0, count: 4)
    #expect(first.kind == .lent)
    #expect(first.count == 3)
    #expect(first.residence == .mayFault)
    #expect(instance.ask(2).lentAt == first.lentAt + 2 * 4096)
    let tail = instance.ask(3)
    #expect(tail.kind == .lent)
    #expect(tail.residence == .resident)
    #expect(!(first.lentAt..<first.lentAt + 4 * 4096).contains(tail.lentAt))
  }

  @Test func sizeCutsTheImageOffOrGoesBeyondIt() throws {
    let content = noise(10_000)
    let image = try TemporaryFile(content)
    let shorter = try instance("ShmemProvider", [("image", image.path), ("size", "5000")])
    #expect(shorter.granules == 2)
    #expect(shorter.readAll() == padded(Array(content.prefix(5000)), 4096))
    let longer = try instance("ShmemProvider", [("image", image.path), ("size", "40K")])
    #expect(longer.readAll() == content + Array(repeating: 0, count: 40 << 10 - content.count))
    #expect(longer.ask(3, count: 7).kind == .zero)
    #expect(longer.ask(3, count: 7).count == 7)
  }

  @Test(.enabled(if: keepsHoles(), "the folder for temporary files does not keep holes"))
  func holesAreZeroWithoutBeingRead() throws {
    // Data in granule 16 and, far from it, in granule 48; the rest was never written.
    let image = try TemporaryFile(noise(4096), at: 16 * 4096, length: 1 << 20)
    let fd = unsafe open(image.path, O_WRONLY)
    #expect(unsafe pwrite(fd, "x", 1, 48 * 4096 + 17) == 1)
    close(fd)
    let instance = try instance("AnonProvider", [("image", image.path)])
    let expected: [(UInt64, UInt64, uffd_folio_kind)] = [
      (0, 16, .zero), (16, 1, .lent), (17, 31, .zero), (48, 1, .lent), (49, 207, .zero),
    ]
    for (pgoff, count, kind) in expected {
      let answer = instance.ask(pgoff, count: 256 - pgoff)
      #expect(answer.kind == kind)
      #expect(answer.count == count)
    }
    let runs = instance.extents(0, 256, capacity: 10)
    #expect(runs.map(\.pgoff) == expected.map(\.0))
    #expect(runs.map(\.count) == expected.map(\.1))
    #expect(runs.map { $0.is_zero == 1 } == expected.map { $0.2 == .zero })
    // A large granule with any data in it is data; its holes read zero all the same.
    #expect(instance.ask(0, granule: 1 << 21).kind == .lent)
    #expect(instance.readAll(granule: 1 << 21).prefix(1 << 20) == instance.readAll()[...])
  }

  @Test func extentsCoverTheAskedRangeWithoutAGap() throws {
    let image = try TemporaryFile(noise(9000), at: 40_960, length: 400_000)
    let instance = try instance("ShmemProvider", [("image", image.path), ("size", "1M")])
    for (pgoff, count, capacity) in [(0, 256, 100), (3, 200, 1), (11, 5, 2), (255, 1, 1)]
      as [(UInt64, UInt64, Int)]
    {
      let runs = instance.extents(pgoff, count, capacity: capacity)
      #expect((1...capacity).contains(runs.count))
      var next = pgoff
      for run in runs {
        #expect(run.pgoff == next)
        #expect(run.count > 0)
        next += run.count
      }
      #expect(next <= pgoff + count)
      if runs.count < capacity { #expect(next == pgoff + count) }
    }
  }

  @Test(arguments: ProviderLibrary.names) func aPatternIsTheSharedPattern(name: String) throws {
    let size = 5_000_003
    let instance = try instance(name, [("pattern", "0xabc"), ("size", "\(size)")])
    let granule = unsafe Int(instance.traits.granule)
    var expected = [UInt8](repeating: 0, count: size)
    unsafe expected.withUnsafeMutableBytes { unsafe Pattern(seed: 0xabc).fill($0, at: 0) }
    #expect(instance.readAll() == padded(expected, granule))
    #expect(instance.readAll(count: 3) == padded(expected, granule))
    #expect(instance.ask(0, count: 2).kind == .staged)
    #expect(instance.ask(0, count: 2).count == 2)
    let runs = instance.extents(0, instance.granules, capacity: 4)
    #expect(runs.map(\.is_zero) == [0])
  }

  @Test func anImageThatShrinksIsAnErrorOfTheKernelsCopy() throws {
    let image = try TemporaryFile(noise(64 << 10))
    let instance = try instance("AnonProvider", [("image", image.path)])
    try image.truncate(to: 4096)
    var request = unsafe uffd_folio_request(
      size: UInt32(MemoryLayout<uffd_folio_request>.size), reserved: 0, pgoff: 8, count: 1,
      granule: 4096, access: [], ticket: 1, staging: UnsafeMutableRawPointer(bitPattern: 4096)!,
      staging_length: 4096)
    var folio = unsafe uffd_folio()
    #expect(unsafe instance.table.pointee.alloc_folio!(instance.pointer, &request, &folio) == .ok)
    // write(2) copies from user memory as UFFDIO_COPY does.
    let sink = try TemporaryFile()
    let fd = unsafe open(sink.path, O_WRONLY)
    defer { close(fd) }
    #expect(unsafe write(fd, folio.memory, 4096) == -1)
    #expect(errno == EFAULT)
  }
}

/// Whether a file that was only made longer has a hole at its start, by SEEK_HOLE.
private func keepsHoles() -> Bool {
  guard let file = try? TemporaryFile(length: 1 << 20) else { return false }
  let fd = unsafe open(file.path, O_RDONLY)
  defer { close(fd) }
  let seekHole: Int32 = 4
  return lseek(fd, 0, seekHole) == 0
}

// SPDX-License-Identifier: Apache-2.0
// The steady state allocates nothing: the built command, under a counting allocator, with twice the faults.
// A debug build allocates for key paths that an optimised one computes at compile time.

import Glibc
import Testing

@testable import UffdHost

@Suite(
  "Allocations", .serialized,
  .enabled(if: Machine.isOptimised, "only a release build shows what a release build does"),
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the counting allocator"))
struct AllocationTests {
  /// Calls of the allocator in a whole run of `uffdhost` over `pages` pages.
  private static func allocations(
    _ provider: String, _ content: String, pages: Int, _ around: String
  ) throws -> Int {
    let counter = try Compiler.library("malloc_counter", variant: "preload", flags: "")
    // The cases run side by side.
    let file = "/tmp/uffdhost-test-mallocs-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    defer { unsafe unlink(file) }
    let result = Compiler.run(
      "timeout 100 env MALLOC_COUNT_FILE='\(file)' LD_PRELOAD='\(counter)' "
        + "'\(Compiler.products)/uffdhost' --provider \(provider) --size \(pages * 4096) --json "
        + "--threads 1 --access sequential --fault-around \(around) \(content) >/dev/null 2>&1")
    guard result == 0 else { throw Trouble("uffdhost ended with \(result >> 8)") }
    guard let count = Int(Belongings.text(file).split(separator: "\n").first ?? "") else {
      throw Trouble("the counting allocator wrote nothing")
    }
    return count
  }

  /// A sparse file with data in every fourth page.
  private static func image(pages: Int) throws -> String {
    var template = Array("/tmp/uffdhost-test-XXXXXX".utf8CString)
    let fd = unsafe mkstemp(&template)
    guard fd >= 0, ftruncate(fd, pages * 4096) == 0 else { throw Trouble("no file in /tmp") }
    defer { close(fd) }
    for page in stride(from: 0, to: pages, by: 4) {
      var word = UInt64(page) | 1
      guard unsafe pwrite(fd, &word, 8, page * 4096) == 8 else { throw Trouble("no room in /tmp") }
    }
    return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  @Test(
    "20,000 more faults cost no more than a handful of allocations",
    arguments: ["anon", "shmem"],
    [("pattern", "off"), ("image", "off"), ("pattern", "auto"), ("image", "auto")])
  func steady(_ provider: String, _ case: (source: String, around: String)) throws {
    let (source, around) = `case`
    let image = source == "image" ? try Self.image(pages: 40_000) : ""
    defer { if !image.isEmpty { unsafe unlink(image) } }
    let content = image.isEmpty ? "pattern=7 size=1G" : "image='\(image)'"
    let once = try Self.allocations(provider, content, pages: 20_000, around)
    let twice = try Self.allocations(provider, content, pages: 40_000, around)
    #expect(twice - once < 200, "\(once) for 20,000 faults, \(twice) for 40,000")
    #expect(once > 200, "\(once): somebody else was counted")
  }
}

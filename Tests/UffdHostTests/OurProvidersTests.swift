// SPDX-License-Identifier: Apache-2.0
// The three providers that are built beside the tests, through the core: a region's bytes are the bytes that
// the provider gives when it is asked directly.

import Glibc
import Testing

@testable import UffdHost

@Suite("Our providers", .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"))
struct OurProvidersTests {

  @Test(
    "a real file, whose end is in the middle of a page", arguments: ["anon", "shmem", "hugetlb"],
    [1, 2])
  func image(_ name: String, _ readers: Int) async throws {
    if name == "hugetlb" { try Machine.needHugePages() }
    await #expect(processExitsWith: .success) { [name, readers] in
      alarm(30)
      let path = Compiler.products + "/libShmemProvider.so"
      let host = try Host(.with { $0.readers = readers })
      let instance = try host.open(
        try Provider.load(name), parameters: [Parameter("image", path)])
      let file = try Mapping.scratch(instance.granuleCount * instance.granule)
      let fd = unsafe Glibc.open(path, O_RDONLY)
      #expect(unsafe pread(fd, file.base, file.length, 0) == Int(instance.objectSize))
      let region = try instance.map()
      #expect(region.length == UInt64(file.length))
      let comparison = unsafe GuardedAccess.compare(region.start, file.base, length: file.length)
      #expect(comparison == .equal)
      let oracle = try Mapping.scratch(UInt64(file.length))
      unsafe try instance.readContent(
        firstGranule: 0,
        into: UnsafeMutableRawBufferPointer(start: oracle.base, count: oracle.length))
      #expect(unsafe memcmp(oracle.base, file.base, file.length) == 0)
      if name != "anon" {
        // A second region, and still each page was read once.
        let second = try instance.map()
        #expect(
          unsafe GuardedAccess.compare(second.start, file.base, length: file.length) == .equal)
        #expect(host.statistics.providedBytes == UInt64(file.length))
      }
    }
  }

  @Test("limit= refuses the granules beyond it: they are poisoned, the others are served")
  func limit() async {
    await #expect(processExitsWith: .success) {
      alarm(20)
      GuardedAccess.install()
      let instance = try Host().open(
        try Provider.load("shmem"),
        parameters: [
          Parameter("pattern", "7"), Parameter("size", "64K"), Parameter("limit", "10"),
        ])
      let region = try instance.map()
      let signals = (0..<16).map { region.signal($0) }
      #expect(signals == Array(repeating: 0, count: 10) + Array(repeating: SIGBUS, count: 6))
      #expect(eventually { region.poisonedBytes == 6 * 4096 && region.residentBytes == 10 * 4096 })
    }
  }
}

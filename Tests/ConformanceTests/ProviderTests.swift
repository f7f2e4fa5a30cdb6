// SPDX-License-Identifier: Apache-2.0
// The three providers of this package pass the suite, with a pattern and with an image.
import Glibc
import Testing
import UffdConformance
import UffdHost

private func check(_ provider: String, _ parameters: [Parameter]) throws -> SuiteReport {
  var options = Suite.Options(Folder.built("lib\(provider)Provider.so"), parameters, seed: 11)
  options.seconds = 1
  return try Suite(options, program: Folder.built("uffdhost")).run()
}

private func expectGood(_ report: SuiteReport) {
  for result in report.results {
    #expect(result.state != .failed, "\(result.id): \(result.came)")
  }
  #expect(report.exitCode == 0)
  #expect(report.count(.ok) > 40)
}

@Suite struct ProviderTests {
  @Test(arguments: [
    ("Anon", "1000001"), ("Shmem", "1000001"), ("Hugetlb", "5M"),
  ])
  func `a provider passes with a pattern`(provider: String, size: String) throws {
    expectGood(try check(provider, [Parameter("pattern", "7"), Parameter("size", size)]))
  }

  @Test func `ShmemProvider passes with a limit`() throws {
    let parameters = [
      Parameter("pattern", "7"), Parameter("size", "400000"), Parameter("limit", "30"),
    ]
    expectGood(try check("Shmem", parameters))
  }

  @Test(arguments: [("Anon", 300), ("Shmem", 300), ("Hugetlb", 1200)])
  func `a provider passes with an image that has holes and an odd end`(
    provider: String, pages: Int
  ) throws {
    let path = "/tmp/uffdhost-conformance-\(getpid())-\(provider).img"
    defer { unsafe unlink(path) }
    let file = unsafe try #require(unsafe fopen(path, "w"))
    var random = SystemRandomNumberGenerator()
    for page in 0..<pages where page / 16 % 3 != 1 {
      let words = (0..<512).map { _ in random.next() }
      unsafe fseek(file, page * 4096, SEEK_SET)
      unsafe fwrite(words, 8, page == pages - 1 ? 100 : 512, file)
    }
    unsafe fclose(file)
    let report = try check(provider, [Parameter("image", path)])
    expectGood(report)
    let lends = report.results.filter { $0.id.hasPrefix("lend.") && $0.state == .ok }
    #expect(lends.count >= 6, "an image is lent")
  }
}

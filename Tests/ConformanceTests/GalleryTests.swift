// SPDX-License-Identifier: Apache-2.0
// What proves the suite: it finds every broken provider of the gallery, with the check that the provider is
// there for, and nothing wrong with the good ones.
import Testing
import UffdConformance
import UffdHost

@Suite struct GalleryTests {
  @Test(arguments: Specimen.broken)
  func `a broken provider is found by its check`(specimen: Specimen) throws {
    for id in specimen.breaks {
      let report = try specimen.check(only: [id])
      let result = try #require(report.results.first { $0.id == id })
      if id.hasPrefix("kernel."), result.state == .skipped, isWithoutKernel(result) { continue }
      #expect(result.state == .failed, "\(id): \(result.came)")
      #expect(!result.came.isEmpty && !result.sentence.isEmpty)
      #expect(report.exitCode == 1)
    }
  }

  @Test(arguments: Specimen.good)
  func `a good provider passes every check that applies`(specimen: Specimen) throws {
    let report = try specimen.check()
    for result in report.results {
      #expect(result.state != .failed, "\(result.id): \(result.came)")
    }
    #expect(report.exitCode == 0)
    #expect(report.count(.ok) > 70)
  }

  @Test func `every check has a specimen that it finds`() {
    let shown = Set(Specimen.broken.flatMap(\.breaks))
    // A library that is refused is no result but an error: see SuiteTests.
    let all = Set(Check.all.map(\.id)).subtracting(["table.loads"])
    #expect(all.subtracting(shown) == [])
    #expect(shown.subtracting(all) == [])
  }

  /// The kernel's part needs a permission and huge pages, which a test machine may lack.
  private func isWithoutKernel(_ result: CheckResult) -> Bool {
    if result.came.contains("huge pages") { return true }
    do {
      _ = try Host()
      return false
    } catch { return true }
  }
}

// SPDX-License-Identifier: Apache-2.0
// What parent and child of the bench say to each other, and the table that people get.
import Foundation
import TestSupport
import Testing
import UffdHost

@testable import UffdBench

@Test func `a job goes into words and comes back`() {
  var job = Job()
  job.work = .fill
  job.subject = .peer
  job.clients = 16
  job.memory = .hugetlb
  job.operation = .continue
  job.order = .zipf
  job.hasFaultAround = true
  job.waiting = .read
  job.placement = .unpinned
  (job.regions, job.threads, job.readers) = (16, 8, 2)
  (job.page, job.bytes, job.seed) = (2 << 20, 64 << 20, 99)
  (job.image, job.recorded) = (12, 13)
  job.library = "/a b/=x/lib.so"
  job.parameters = [Parameter("image", "/x=y z"), Parameter("size", "1")]
  #expect(Job(words: job.words) == job)
}

@Test func `an ordinary line is no job`() {
  #expect(Job(words: []) == nil)
  #expect(Job(words: ["--provider", "shmem"]) == nil)
  #expect(Job(words: ["bench-child"]) == nil)
  var words = Job().words
  words.removeAll { $0.hasPrefix("seed=") }
  #expect(Job(words: words) == nil)
}

@Test func `samples, descriptions and errors are lines`() {
  var sample = Sample()
  (sample.touched, sample.bytes, sample.installed, sample.elapsed) = (1, 2, 3, 4)
  (sample.mean, sample.p50, sample.p99, sample.wrong, sample.firstWrong) = (5, 6, 7, 8, 9)
  #expect(Sample(line: sample.line[...]) == sample)
  #expect(Sample(line: "sample touched=1") == nil)
  #expect(Sample(line: sample.line[...].replacing("p50=6", with: "p50=x")[...]) == nil)
  let description = Description(memory: .shmem, granule: 4096, objectSize: 7, path: "/a b.so")
  #expect(Description(line: description.line[...]) == description)
  let error = HostError(.refused, "it is not good")
  #expect(HostError(line: error.line[...]) == error)
  #expect(HostError(line: "sample touched=1") == nil)
}

@Test func `a case that does not exist is answered with those that do`() throws {
  var options = BenchOptions()
  options.cases = ["anon-cpoy"]
  do throws(HostError) {
    _ = try options.chosenCases()
    Issue.record("accepted")
  } catch {
    #expect(error.kind == .usage && error.message.contains("anon-copy,"))
  }
  options.cases = ["start", "anon-copy"]
  #expect(try options.chosenCases().map(\.name) == ["anon-copy", "start"])
}

@Test func `docs/performance.md has all cases, and no others`() throws {
  let text = try String(contentsOfFile: Checkout.root + "/docs/performance.md", encoding: .utf8)
  let section = try #require(
    text.components(separatedBy: "\n## Cases\n").last?.split(separator: "\n## ").first)
  let names = section.matches(of: /`([a-z0-9-]+)`/).map { String($0.1) }
  #expect(names.sorted() == BenchOptions.caseNames.sorted())
}

@Test func `a table has its columns under each other, and doubts below`() {
  var report = BenchReport()
  report.headlines = [.init(name: "anon-copy", summary: "what it is", bytes: 4096)]
  let c = Row(
    caseName: "anon-copy", subject: .c, placement: .pinned, threads: 1, p50: 9100, mean: 9612,
    p99: 1, pagesPerSecond: 103_387, bytesPerSecond: 423_473_152,
    ratio: Spread(median: 1, lower: 1, upper: 1), ratioOf: .p50, bytes: 4096, installed: 4096,
    rounds: 7, doubts: [.spread(0.153)])
  var host = c
  host.subject = .host
  host.ratio = Spread(median: 1.039, lower: 0.911, upper: 1.041)
  host.doubts.append(.load(0.5))
  report.rows = [c, host]
  #expect(
    report.text().hasPrefix(
      """
      anon-copy: what it is; 4 KiB
        threads  placement  subject     p50    mean  pages/s     bytes/s  against c
              1  pinned     c        9.1 us  9.6 us  103,387  403.86 MiB  1 ?
              1  pinned     host     9.1 us  9.6 us  103,387  403.86 MiB  1.039 [0.911 .. 1.041] ?
        ? 1 pinned, c, host: the quartiles are 15 % of the median apart
        ? 1 pinned, host: others used 50 % of a CPU meanwhile

      aims
      """), "\(report.text())")
  #expect(report.text().contains("at most 1.02"))
  // What no run measures is said, and stands under those that one does.
  #expect(report.text().contains("against an empty Swift program"))
  #expect(report.text().contains("not measured\n  No mallocs, retains and exclusivity checks"))
  #expect(report.exitCode == 0)
}

// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing
import UffdHost
import UffdReport

/// A run as it could have been, every number fixed.
func sampleReport() -> RunReport {
  var report = RunReport(
    provider: "shmem", providerVersion: "1.0.0", memory: .shmem, granule: 4096, bytes: 118_931_456)
  (report.threads, report.regions, report.access, report.seed) = (8, 2, "random", 1)
  report.elapsedNanoseconds = 412_000_000
  report.residentBytes = 237_862_912
  report.statistics.faults.missing = 29_036
  report.statistics.faults.minor = 29_036
  report.statistics.installed.copied = 118_931_456
  report.statistics.installed.continued = 118_931_456
  report.statistics.alreadyPresent = 12
  report.statistics.samples = 907
  report.statistics.sampledProviderNanoseconds = 907 * 400
  report.statistics.sampledKernelNanoseconds = 907 * 1_600
  var histogram = LatencyHistogram()
  for (nanoseconds, count) in [(300, 100), (5_000, 30_000), (9_000, 27_000), (40_000, 972)] {
    for _ in 0..<count { histogram.record(UInt64(nanoseconds)) }
  }
  report.latency = histogram.summary
  report.verification = .verified(bytes: 237_862_912)
  report.oracle = "image=/boot/vmlinuz"
  return report
}

/// With pages beside faults.
private let aroundLine = "  around       1,234 granules filled beside a fault\n"

private let sampleText = """
  shmem 1.0.0 served 226.84 MiB of shmem memory in 412.0 ms

    memory       shmem, granule 4 KiB, 2 shared regions of 113.42 MiB,
                 filled into the backing, 100.0 % resident
    touched      random, 8 threads, mode missing, 1 pass, 1 reader
    rate         140,951 faults/s, 550.59 MiB/s

    faults       missing 29,036, minor 29,036, wp 0
    installed    copied 113.42 MiB, zeroed 0 B, continued 113.42 MiB, poisoned 0 B
    also         already present 12

    time         provider 400 ns (20.0 %), kernel 1.6 us (80.0 %), 907 sampled
    latency      p50 5.1 us, p90 9.2 us, p99 40.0 us, p99.9 40.0 us, max 40.0 us
                 from   256 ns  #                                     100    0.2 %
                 from   512 ns                                          0    0.0 %
                 from   1.0 us                                          0    0.0 %
                 from   2.0 us                                          0    0.0 %
                 from   4.1 us  #################################  30,000   51.7 %
                 from   8.2 us  ##############################     27,000   46.5 %
                 from  16.4 us                                          0    0.0 %
                 from  32.8 us  #                                     972    1.7 %

    verified     all 226.84 MiB equal image=/boot/vmlinuz

  """

@Test func `the text of a good run`() {
  #expect(sampleReport().text(color: false, width: 80) == sampleText)
}

@Test func `granules beside faults have a line of their own`() {
  var report = sampleReport()
  report.statistics.installedAround = 1_234
  let text = report.text(color: false, width: 80)
  #expect(text.replacing(aroundLine, with: "") == sampleText && text != sampleText)
}

@Test func `colour adds nothing but ink`() throws {
  let colored = sampleReport().text(color: true, width: 80)
  #expect(colored.contains("\u{1b}[32mverified\u{1b}[0m"))
  #expect(try colored.replacing(Regex("\u{1b}\\[[0-9]*m"), with: "") == sampleText)
}

@Test func `lines fit the width they are given`() {
  for width in 60...200 {
    let lines = sampleReport().text(color: false, width: width).split(separator: "\n")
    for line in lines { #expect(line.count <= width, "\(width): \(line)") }
  }
}

/// The lines from the verdict on.
private func ending(_ report: RunReport) -> String {
  report.text().split(separator: "\n\n").last.map(String.init) ?? ""
}

@Test func `wrong bytes, errors and an interruption come last and plainly`() {
  var report = sampleReport()
  report.verification = .failed(
    RunReport.Difference(firstOffset: 8193, granules: 2, comparedBytes: 1 << 20))
  report.errors = (1...12).map { "page \($0) could not be had\u{1b}[2J\nreally" }
  report.interrupted = true
  let lines = ending(report).split(separator: "\n")
  #expect(lines.count == 10 + 1 + 2 + 1)
  #expect(lines[0] == "  error        page 1 could not be had\\u{1b}[2J\\nreally")
  #expect(lines[10] == "               and 2 more errors")
  #expect(
    lines[11...].joined(separator: "\n") == """
        WRONG BYTES  2 granules differ from image=/boot/vmlinuz,
                     first at offset 8193 (0x2001), of 1 MiB compared
        interrupted  the numbers are those of the part that ran
      """)
  #expect(report.exitCode == 1)
}

@Test func `a run without an oracle and without a touch says so`() {
  var report = RunReport(
    provider: "a", providerVersion: "1", memory: .anon, granule: 4096, bytes: 0)
  report.verification = .notVerified(reason: "no oracle: give --verify")
  #expect(ending(report) == "  not verified no oracle: give --verify\n")
  #expect(report.text().contains("\n  latency      nothing was touched\n"))
}

@Test func `the exit code follows from what went wrong first of all`() {
  var report = sampleReport()
  #expect(report.exitCode == 0)
  report.interrupted = true
  #expect(report.exitCode == 130)
  report.statistics.givenUp = 1
  #expect(report.exitCode == 1)
  report.statistics.givenUp = 0
  report.errors = ["the provider broke"]
  #expect(report.exitCode == 1)
}

private func parse(_ report: RunReport) throws -> [String: Any] {
  let object = try JSONSerialization.jsonObject(with: Data(report.json().utf8))
  return try #require(object as? [String: Any])
}

@Test func `the JSON of a run has its fixed names with their numbers`() throws {
  let json = try parse(sampleReport())
  #expect(json["provider"] as? String == "shmem")
  #expect(json["memory"] as? String == "shmem")
  #expect(json["granule"] as? Int == 4096)
  #expect(json["bytes"] as? Int == 118_931_456)
  #expect(json["verified"] as? Bool == true)
  #expect(json["oracle"] as? String == "image=/boot/vmlinuz")
  #expect(json["faults"] as? [String: Int] == ["missing": 29_036, "minor": 29_036, "wp": 0])
  #expect(
    json["installed"] as? [String: Int] == [
      "copied": 118_931_456, "zeroed": 0, "continued": 118_931_456, "poisoned": 0,
    ])
  let latency = try #require(json["latency_ns"] as? [String: Int])
  #expect(latency["p50"] == 5_119 && latency["p90"] == 9_215)
  #expect(latency["p99"] == 40_000 && latency["max"] == 40_000)
  #expect((json["errors"] as? [String]) == [])
  #expect((json["latency_histogram"] as? [Any])?.count == 4)
}

@Test func `the JSON of a failed run names the first wrong byte`() throws {
  var report = sampleReport()
  report.verification = .failed(
    RunReport.Difference(firstOffset: .max, granules: 2, comparedBytes: 1 << 20))
  report.oracle = nil
  report.errors = ["a \"b\"\n"]
  let json = try parse(report)
  #expect(json["verified"] as? Bool == false)
  #expect(json["oracle"] is NSNull)
  #expect(json["errors"] as? [String] == ["a \"b\"\n"])
  let verification = try #require(json["verification"] as? [String: Any])
  #expect(verification["verdict"] as? String == "failed")
  #expect(verification["first_difference"] as? UInt64 == .max)
  #expect(verification["differing_granules"] as? Int == 2)
}

@Test func `what was recorded and replayed is said, and nothing where nothing was`() throws {
  var report = sampleReport()
  #expect(!report.text().contains("recorded") && !report.text().contains("replayed"))
  #expect(try parse(report)["recorded"] is NSNull)
  #expect(try parse(report)["replay"] is NSNull)
  report.recorded = RunReport.Recorded(file: "a\n.ws", granules: 1234, nanoseconds: 5_000_000)
  report.replay = RunReport.Replay(
    file: "b.ws",
    fill: RunReport.Fill(
      granules: 1000, filled: 900, present: 90, left: 10, nanoseconds: 7_000_000))
  let text = report.text(color: false, width: 100)
  #expect(text.contains("\n  recorded     1,234 granules, 4.82 MiB, into a\\n.ws\n"))
  #expect(
    text.contains(
      """

        replayed     1,000 granules of b.ws, filled 900, touched before 90, not filled 10, in 7.0 ms

      """))
  #expect(!text.contains("background"))
  #expect(try parse(report)["background_fill"] is NSNull)
  report.backgroundFill = RunReport.Fill(
    granules: 5000, filled: 4000, present: 1000, left: 0, nanoseconds: 2_000_000_000)
  report.fillRate = 10 << 20
  report.statistics.knownZeroBytes = 8192
  let more = report.text(color: false, width: 100)
  #expect(
    more.contains(
      """

        background   5,000 granules to fill, filled 4,000, touched before 1,000, in 2.00 s,
                     at most 10 MiB/s

      """), "\(more)")
  #expect(more.contains("\n  known zero   8 KiB for which the provider was not asked\n"))
  let json = try parse(report)
  #expect(json["fill_rate"] as? Int == 10 << 20 && json["known_zero_bytes"] as? Int == 8192)
  let background = try #require(json["background_fill"] as? [String: Any])
  #expect(background["filled"] as? Int == 4000 && background["ns"] as? Int == 2_000_000_000)
  #expect((json["recorded"] as? [String: Any])?["granules"] as? Int == 1234)
  let replay = try #require(json["replay"] as? [String: Any])
  #expect(replay["filled"] as? Int == 900 && replay["left"] as? Int == 10)
}

// SPDX-License-Identifier: Apache-2.0
import Testing
import UffdReport

@Test(arguments: [
  ("0", 0), ("4096", 4096), ("64K", 65536), ("64k", 65536), ("2M", 2 << 20), ("1GiB", 1 << 30),
  ("1gib", 1 << 30), ("1T", 1 << 40), ("16777215T", 16_777_215 << 40), ("007", 7),
  ("18446744073709551615", UInt64.max),
])
func `a size is read`(text: String, bytes: UInt64) throws {
  #expect(try Units.parseSize(text) == bytes)
}

@Test(arguments: [
  "", "K", "-1", "+1", "1.5G", "1 K", " 1", "1KB", "1B", "1Ki", "0x10", "1P", "1KK", "١",
  "1\u{301}", "1K\u{301}",
])
func `what is no size is refused`(text: String) {
  #expect(throws: Units.SizeError.malformed) { try Units.parseSize(text) }
}

@Test(arguments: [
  "18446744073709551616", "16777216T", "18014398509481984K", "99999999999999999999999T",
])
func `a size beyond 64 bits is refused`(text: String) {
  #expect(throws: Units.SizeError.tooLarge) { try Units.parseSize(text) }
}

@Test(arguments: [
  (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1 KiB"), (1025, "1.00 KiB"), (1536, "1.50 KiB"),
  (1_048_575, "1.00 MiB"), (1 << 20, "1 MiB"), (1_342_177_280, "1.25 GiB"), (1 << 63, "8 EiB"),
  (UInt64.max, "16.00 EiB"),
])
func `bytes are written`(bytes: UInt64, text: String) {
  #expect(Units.bytes(bytes) == text)
}

@Test func `whole sizes survive writing and reading`() throws {
  for shift in 0..<50 {
    for factor: UInt64 in [1, 3, 1000] {
      let bytes = factor << UInt64(shift)
      // "5 KiB" reads as "5KiB", "5 B" as "5"; a fraction such as "1.46 MiB" has no way back.
      let text = Units.bytes(bytes).filter { $0 != " " }
      guard !text.contains("."), !text.contains("P") else { continue }
      let size = text.hasSuffix("iB") ? text : String(text.dropLast())
      #expect(try Units.parseSize(size) == bytes)
    }
  }
}

@Test(arguments: [
  (0, "0 ns"), (999, "999 ns"), (1000, "1.0 us"), (9_149, "9.1 us"), (999_949, "999.9 us"),
  (999_950, "1.0 ms"), (12_400_000, "12.4 ms"), (999_950_000, "1.00 s"), (3_200_000_000, "3.20 s"),
  (59_994_999_999, "59.99 s"), (59_995_000_000, "1 min 00 s"), (125_400_000_000, "2 min 05 s"),
  (UInt64.max, "307,445,734 min 34 s"),
])
func `durations are written`(nanoseconds: UInt64, text: String) {
  #expect(Units.duration(nanoseconds: nanoseconds) == text)
}

@Test func `counts, rates and shares are written`() {
  #expect(Units.grouped(0) == "0")
  #expect(Units.grouped(999) == "999")
  #expect(Units.grouped(1000) == "1,000")
  #expect(Units.grouped(.max) == "18,446,744,073,709,551,615")
  #expect(Units.rate(512_345, nanoseconds: 500_000_000) == "1,024,690/s")
  #expect(Units.rate(5, nanoseconds: 0) == "0/s")
  #expect(Units.rate(.max, nanoseconds: 1) == "18,446,744,073,709,551,615/s")
  #expect(Units.byteRate(1 << 30, nanoseconds: 500_000_000) == "2 GiB/s")
  #expect(Units.percent(1, of: 3) == "33.3 %")
  #expect(Units.percent(99_999, of: 100_000) == "99.9 %")
  #expect(Units.percent(5, of: 5) == "100.0 %")
  #expect(Units.percent(0, of: 0) == "0.0 %")
}

@Test func `foreign text cannot steer a terminal`() {
  #expect("a\u{1b}[2J\nb\tc\u{9b}\u{202e}é".printable == "a\\u{1b}[2J\\nb\\tc\\u{9b}\\u{202e}é")
  #expect("x".quoted == "'x'")
  #expect(String(repeating: "ab", count: 5000).quoted.count == 80)
}
